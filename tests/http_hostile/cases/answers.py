"""Answers of a hostile server to our client."""

from case import AnswerCase as Case

OK = b"HTTP/1.1 200 OK\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = "answer 200 5:hello"


def sized(length, body=b"hello"):
    return OK + b"Content-Length: " + length + b"\r\n\r\n" + body


def with_fields(lines, body=b"hello"):
    return OK + lines + b"Content-Length: 5\r\n\r\n" + body


def coded(coding, body=b"5\r\nhello\r\n0\r\n\r\n"):
    return OK + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + body


def refused(why):
    return f"failed bad_answer {why}"


CASES = [
    # The status line.
    Case("plain", sized(b"5"), "9112 4", HELLO),
    Case("no_reason", b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello", "9112 4", HELLO),
    Case("no_reason_and_no_space", b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", "9112 4", HELLO),
    Case("reason_with_high_bytes", b"HTTP/1.1 200 \xff\xfe\r\nContent-Length: 5\r\n\r\nhello", "9112 4", HELLO),
    Case("reason_with_nul", b"HTTP/1.1 200 O\0K\r\nContent-Length: 5\r\n\r\nhello", "9112 4", refused("control_character")),
    Case("two_spaces_before_status", b"HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello", "9112 4", refused("status_line_shape")),
    Case("tab_before_status", b"HTTP/1.1\t200 OK\r\nContent-Length: 5\r\n\r\nhello", "9112 4",
         refused("status_line_shape"), closes=True),
    Case("status_of_two_digits", b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello", "9110 15",
         refused("status_line_shape"), closes=True),
    Case("status_of_four_digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello", "9110 15",
         refused("status_line_shape"), closes=True),
    Case("status_negative", b"HTTP/1.1 -20 OK\r\nContent-Length: 5\r\n\r\nhello", "9110 15",
         refused("status_line_shape"), closes=True),
    Case("status_of_letters", b"HTTP/1.1 2xx OK\r\nContent-Length: 5\r\n\r\nhello", "9110 15",
         refused("status_line_shape"), closes=True),
    Case("status_099", b"HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\nhello", "9110 15", refused("status_unknown")),
    Case("status_600", b"HTTP/1.1 600 OK\r\nContent-Length: 5\r\n\r\nhello", "9110 15", refused("status_unknown")),
    Case("status_000", b"HTTP/1.1 000 OK\r\nContent-Length: 5\r\n\r\nhello", "9110 15", refused("status_unknown")),
    Case("status_599", b"HTTP/1.1 599 Odd\r\nContent-Length: 5\r\n\r\nhello", "9110 15", "answer 599 5:hello"),
    Case("version_2_0", b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "9112 2.3", refused("version_unsupported")),
    Case("version_1_2", b"HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello", "9112 2.3", refused("version_unsupported")),
    Case("version_0_9", b"HTTP/0.9 200 OK\r\nContent-Length: 5\r\n\r\nhello", "9112 2.3",
         refused("version_unsupported"), closes=True),
    Case("version_lower_case", b"http/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "9112 2.3",
         refused("garbage_first"), closes=True),
    Case("other_protocol", b"ICY 200 OK\r\nContent-Length: 5\r\n\r\nhello", "9112 2.3", refused("garbage_first"), closes=True),
    Case("no_status_line", b"<html>hello</html>\r\n", "9112 2.1", refused("garbage_first"), closes=True),
    Case("blank_line_first", b"\r\n" + sized(b"5"), "9112 2.2", refused("garbage_first"), closes=True),
    Case("request_for_answer", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "9112 2.1", refused("garbage_first"), closes=True),
    Case("status_line_without_end", OK[:-2], "9112 8", refused("cut_short"), closes=True),
    Case("bare_lf", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "9112 2.2", refused("bare_lf")),

    # Fields.
    Case("folded", with_fields(b"A: b\r\n c\r\n"), "9112 5.2", refused("folded_field")),
    Case("blank_before_the_colon", with_fields(b"A : b\r\n"), "9112 5.1", refused("space_before_colon")),
    Case("blank_before_the_colon_of_length", OK + b"Content-Length : 5\r\n\r\nhello", "9112 5.1", refused("space_before_colon")),
    Case("no_colon", with_fields(b"A\r\n"), "9112 5", refused("field_without_colon")),
    Case("empty_name", with_fields(b": b\r\n"), "9112 5", refused("field_name_empty")),
    Case("name_with_parenthesis", with_fields(b"A(: b\r\n"), "9110 5.1", refused("field_name_character")),
    Case("nul_in_a_value", with_fields(b"A: b\0c\r\n"), "9110 5.5", refused("control_character")),
    Case("bare_cr_in_a_value", with_fields(b"A: b\rc\r\n"), "9112 2.2", refused("bare_cr")),
    Case("bare_lf_in_a_value", with_fields(b"A: b\nc: d\r\n"), "9112 2.2", refused("bare_lf")),
    Case("escape_in_a_value", with_fields(b"A: \x1b[2J\r\n"), "9110 5.5", refused("control_character")),
    Case("one_thousand_fields", with_fields(b"A: b\r\n" * 1000), "9110 5.4", "failed answer_too_large too_many_fields"),
    Case("value_of_64_kib", with_fields(b"A: " + b"b" * 65536 + b"\r\n"), "9110 5.4", "failed answer_too_large head_too_large"),

    # Content-Length.
    Case("length_with_leading_zeros", sized(b"0005"), "9110 8.6", HELLO),
    Case("length_negative", sized(b"-5"), "9110 8.6", refused("length_invalid"), closes=True),
    Case("length_plus", sized(b"+5"), "9110 8.6", refused("length_invalid"), closes=True),
    Case("length_hexadecimal", sized(b"0x5"), "9110 8.6", refused("length_invalid"), closes=True),
    Case("length_empty", sized(b""), "9110 8.6", refused("length_invalid"), closes=True),
    Case("length_of_letters", sized(b"five"), "9110 8.6", refused("length_invalid"), closes=True),
    Case("length_above_64_bits", sized(b"18446744073709551621"), "9110 8.6", refused("length_invalid"), closes=True),
    Case("length_list", sized(b"5, 5"), "9110 8.6", refused("length_repeated"), closes=True),
    Case("length_list_differing", sized(b"5, 6"), "9110 8.6", refused("length_repeated"), closes=True),
    Case("length_twice", OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "9110 8.6", refused("length_repeated")),
    Case("length_twice_differing", OK + b"Content-Length: 5\r\nContent-Length: 2\r\n\r\nhello", "9110 8.6",
         refused("length_repeated"), closes=True),
    Case("length_above_the_limit", sized(b"1073741824"), "9110 8.6", "failed answer_too_large body_too_large", closes=True),
    Case("body_cut_short", sized(b"6"), "9112 8", refused("cut_short"), closes=True),
    Case("body_too_long", sized(b"5", b"hello" + EVIL), "9112 6.3", HELLO),
    Case("body_too_long_and_closes", sized(b"5", b"hello" + EVIL), "9112 6.3", HELLO, closes=True),
    Case("body_until_close", OK + b"\r\nhello", "9112 6.3", HELLO, closes=True),

    # Transfer-Encoding.
    Case("chunked", coded(b"chunked"), "9112 7.1", HELLO),
    Case("chunked_any_case", coded(b"Chunked"), "9112 7.1", HELLO),
    Case("length_and_chunked", OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "9112 6.3",
         refused("length_with_coding")),
    Case("chunked_and_length", OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "9112 6.3",
         refused("length_with_coding")),
    Case("coding_twice", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
         "9112 6.1", refused("coding_repeated")),
    Case("coding_list_twice", coded(b"chunked, chunked"), "9112 6.1", refused("coding_repeated")),
    Case("coding_identity", coded(b"identity", b"hello"), "9112 6.1", refused("coding_invalid"), closes=True),
    Case("coding_gzip", coded(b"gzip", b"hello"), "9112 6.1", refused("coding_unknown"), closes=True),
    Case("coding_chunked_gzip", coded(b"chunked, gzip", b"hello"), "9112 6.1", refused("coding_repeated"), closes=True),
    Case("coding_unknown", coded(b"xchunked", b"hello"), "9112 6.1", refused("coding_unknown"), closes=True),
    Case("coding_with_vertical_tab", coded(b"\vchunked"), "9110 5.5", refused("control_character"), closes=True),
    Case("coding_empty", coded(b"", b"hello"), "9112 6.1", refused("coding_invalid"), closes=True),
    Case("coding_in_1_0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "9112 6.1",
         refused("coding_in_http_1_0"), closes=True),

    # Chunks.
    Case("chunk_extension", CHUNKED + b"5;a=b\r\nhello\r\n0\r\n\r\n", "9112 7.1.1", HELLO),
    Case("chunk_trailer", CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n", "9112 7.1.2", HELLO),
    Case("chunk_size_negative", CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", "9112 7.1", refused("chunk_size_invalid"), closes=True),
    Case("chunk_size_with_prefix", CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", "9112 7.1", refused("chunk_size_invalid"), closes=True),
    Case("chunk_size_above_64_bits", CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n", "9112 7.1",
         refused("chunk_size_too_large"), closes=True),
    Case("chunk_size_with_bare_lf", CHUNKED + b"5\nhello\r\n0\r\n\r\n", "9112 2.2", refused("chunk_size_invalid"), closes=True),
    Case("chunk_size_behind_a_space", CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n", "9112 7.1",
         refused("chunk_size_invalid"), closes=True),
    Case("chunk_data_too_long", CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n", "9112 7.1", refused("chunk_end_missing"), closes=True),
    Case("chunk_data_with_bare_lf_behind", CHUNKED + b"5\r\nhello\n0\r\n\r\n", "9112 7.1",
         refused("chunk_end_missing"), closes=True),
    Case("chunk_end_missing", CHUNKED + b"5\r\nhello\r\n", "9112 8", refused("cut_short"), closes=True),
    Case("chunk_last_line_missing", CHUNKED + b"5\r\nhello\r\n0\r\n", "9112 8", refused("cut_short"), closes=True),
    Case("chunk_trailer_that_is_an_answer", CHUNKED + b"5\r\nhello\r\n0\r\n" + EVIL, "9112 5", refused("field_name_character"),
         closes=True),
    Case("chunks_and_an_answer_behind", coded(b"chunked") + EVIL, "9112 6.3", HELLO),

    # Where no body can be, and interim answers.
    Case("head_with_a_length", sized(b"5", b""), "9112 6.3", "answer 200 0:", method="HEAD"),
    Case("head_with_a_body", sized(b"5"), "9112 6.3", "answer 200 0:", method="HEAD"),
    Case("no_content", b"HTTP/1.1 204 No Content\r\n\r\n", "9110 15.3.5", "answer 204 0:"),
    Case("no_content_with_a_length", b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", "9110 8.6",
         refused("body_where_none_can_be")),
    Case("no_content_with_a_body_behind", b"HTTP/1.1 204 No Content\r\n\r\n" + EVIL, "9112 6.3", "answer 204 0:"),
    Case("not_modified_with_a_length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "9110 15.4.5", "answer 304 0:"),
    Case("not_modified_with_a_body", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n" + EVIL, "9112 6.3", "answer 304 0:"),
    Case("interim_before", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + sized(b"5"), "9110 15.2", HELLO, closes=True),
    Case("interim_100", b"HTTP/1.1 100 Continue\r\n\r\n" + sized(b"5"), "9110 15.2.1", HELLO, closes=True),
    Case("interim_with_a_length", b"HTTP/1.1 100 Continue\r\nContent-Length: 38\r\n\r\n" + EVIL + sized(b"5"), "9110 8.6",
         refused("body_where_none_can_be")),
    Case("interim_twenty", b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + sized(b"5"), "9110 15.2",
         refused("interim_answers"), closes=True),
    Case("switches_protocols", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nevil", "9110 15.2.2",
         refused("upgrade_unasked"), closes=True),
    Case("close_and_an_answer_behind", with_fields(b"Connection: close\r\n") + EVIL, "9112 9.6", HELLO),
]
