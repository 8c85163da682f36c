"""Transfer-Encoding: alone, beside Content-Length, and in disguise."""

from case import CHUNKED, Case, EVIL, coded, fields, line, post, refuses, sees

LAST = b"0\r\n\r\n"

CASES = [
    Case("plain", coded(b"chunked"), "9112 7.1", sees("POST /a 5:hello")),
    Case("any_case", coded(b"cHuNkEd"), "9112 7", sees("POST /a 5:hello")),
    Case("spaces_around", coded(b"  chunked  "), "9110 5.5", sees("POST /a 5:hello")),
    # Allowed by the RFC, and refused, as with Content-Length.
    Case("tabs_around", coded(b"\tchunked\t"), "9110 5.5", refuses()),
    Case("of_get", fields(CHUNKED) + b"5\r\nhello\r\n" + LAST, "9110 9.3.1", sees("GET /a 5:hello")),

    # Beside a length. RFC 9112 6.1: a server may refuse both, or must close; what is worse, proxies and servers have differed.
    Case("length_first", post(b"Content-Length: 5\r\n" + CHUNKED, LAST), "9112 6.1", refuses()),
    Case("length_second", post(CHUNKED + b"Content-Length: 5\r\n", LAST), "9112 6.1", refuses()),
    Case("length_covers_a_request", post(CHUNKED + b"Content-Length: %d\r\n" % len(LAST + EVIL), LAST + EVIL), "9112 6.1",
         refuses()),
    Case("length_covers_a_chunk_size", post(b"Content-Length: 4\r\n" + CHUNKED, b"1f\r\n" + EVIL + b"\r\n" + LAST), "9112 6.1",
         refuses()),
    Case("length_zero", post(b"Content-Length: 0\r\n" + CHUNKED, LAST + EVIL), "9112 6.1", refuses()),
    Case("length_that_is_right", post(b"Content-Length: 5\r\n" + CHUNKED, LAST), "9112 6.1", refuses()),
    Case("length_in_1_0", line(b"POST /a HTTP/1.0", b"Content-Length: 5\r\n" + CHUNKED) + LAST, "9112 6.1", refuses()),
    Case("length_odd", post(b"Content-Length: x\r\n" + CHUNKED, LAST), "9112 6.1", refuses()),
    Case("length_with_identity", post(b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n", b"hello"), "9112 6.1", refuses()),
    Case("length_with_unknown", post(b"Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n", b"hello"), "9112 6.1", refuses()),
    Case("length_with_empty", post(b"Content-Length: 5\r\nTransfer-Encoding:\r\n", b"hello"), "9112 6.1", refuses()),

    # More than one, or not the last.
    Case("twice", post(CHUNKED + CHUNKED, LAST), "9112 7", refuses()),
    Case("twice_identity_second", post(CHUNKED + b"Transfer-Encoding: identity\r\n", LAST), "9112 6.1", refuses()),
    Case("twice_identity_first", post(b"Transfer-Encoding: identity\r\n" + CHUNKED, LAST), "9112 6.1", refuses()),
    Case("twice_unknown_second", post(CHUNKED + b"Transfer-Encoding: cow\r\n", LAST), "9112 6.1", refuses()),
    Case("twice_gzip_first", post(b"Transfer-Encoding: gzip\r\n" + CHUNKED, LAST), "9112 7", refuses(501)),
    Case("twice_empty_second", post(CHUNKED + b"Transfer-Encoding:\r\n", LAST), "9112 6.1", refuses()),
    Case("list_twice", coded(b"chunked, chunked"), "9112 7", refuses()),
    Case("list_gzip_last", coded(b"chunked, gzip"), "9112 6.1", refuses()),
    Case("list_gzip_first", coded(b"gzip, chunked"), "9112 7", refuses(501)),
    Case("list_identity_first", coded(b"identity, chunked"), "9112 7", refuses()),
    Case("list_identity_last", coded(b"chunked, identity"), "9112 7", refuses()),
    Case("list_with_comma_first", coded(b", chunked"), "9110 5.6.1", refuses()),
    Case("list_with_comma_last", coded(b"chunked,"), "9110 5.6.1", refuses()),

    # Not chunked.
    Case("identity", coded(b"identity", b""), "9112 7", refuses()),
    Case("gzip", coded(b"gzip"), "9112 6.1", refuses(501)),
    Case("unknown", coded(b"cow"), "9112 6.1", refuses(501)),
    Case("empty", coded(b"", b""), "9112 6.1", refuses()),
    Case("x_before", coded(b"xchunked"), "9112 7", refuses(501)),
    Case("x_behind", coded(b"chunkedx"), "9112 7", refuses(501)),
    Case("chunk", coded(b"chunk"), "9112 7", refuses(501)),
    Case("chunks_of_two_words", coded(b"chunked chunked"), "9112 7", refuses()),
    Case("in_1_0", line(b"POST /a HTTP/1.0", CHUNKED) + b"5\r\nhello\r\n" + LAST, "9112 6.1", refuses()),
    Case("in_1_0_kept_alive", line(b"POST /a HTTP/1.0", b"Connection: keep-alive\r\n" + CHUNKED) + LAST, "9112 6.1", refuses()),

    # In disguise.
    Case("vertical_tab_before", coded(b"\vchunked"), "9110 5.5", refuses()),
    Case("vertical_tab_behind", coded(b"chunked\v"), "9110 5.5", refuses()),
    Case("form_feed_before", coded(b"\fchunked"), "9110 5.5", refuses()),
    Case("nul_behind", coded(b"chunked\0"), "9110 5.5", refuses()),
    Case("no_break_space_before", coded(b"\xa0chunked"), "9112 7", refuses()),
    Case("high_byte_behind", coded(b"chunked\xff"), "9112 7", refuses()),
    Case("quoted", coded(b'"chunked"'), "9112 7", refuses()),
    Case("quoted_once", coded(b"'chunked'"), "9112 7", refuses(501)),
    Case("with_parameter", coded(b"chunked;q=1"), "9112 7", refuses()),
    Case("with_semicolon", coded(b"chunked;"), "9112 7", refuses()),
    Case("bare_cr_behind", coded(b"chunked\r"), "9112 2.2", refuses()),
    Case("bare_lf_before", coded(b"\nchunked"), "9112 2.2", refuses()),
    Case("bare_lf_parts_fields", post(b"Transfer-Encoding\n : chunked\r\n", LAST), "9112 2.2", refuses()),
    Case("colon_twice", post(b"Transfer-Encoding:: chunked\r\n", LAST), "9112 7", refuses()),
    Case("blank_before_name", post(b"A: b\r\n Transfer-Encoding: chunked\r\n", LAST), "9112 5.2", refuses()),
    Case("hidden_behind_another_field", fields(b"A: b\r\n\tTransfer-Encoding: chunked\r\n", b"POST /a HTTP/1.1"), "9112 5.2",
         refuses()),
    Case("comment_behind", coded(b"chunked (really)"), "9112 7", refuses()),
    Case("long_s", coded("chunked".replace("c", "\u0441").encode()), "9112 7", refuses()),
]
