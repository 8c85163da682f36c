"""What concerns the connection: Connection and its options, Expect, Upgrade, versions that close, and requests in a row."""

from case import CHUNKED, Case, EVIL, GET_B, closes, fields, line, post, refuses, sees

GET_A = fields(b"")
BIG = b"GET /a HTTP/1.1\r\nHost: h\r\nA: " + b"b" * 3000 + b"\r\n\r\n"

CASES = [
    # Options of the connection. Whoever takes these names for fields to drop loses a field that frames or routes.
    Case("closes", fields(b"Connection: close\r\n"), "9112 9.6", closes("GET /a")),
    Case("closes_and_a_request_behind", fields(b"Connection: close\r\n") + EVIL, "9112 9.6", closes("GET /a")),
    Case("closes_and_garbage_behind", fields(b"Connection: close\r\n") + b"\0\xff garbage", "9112 9.6", closes("GET /a")),
    Case("closes_in_a_list", fields(b"Connection: x, CLOSE ,y\r\n"), "9112 9.6", closes("GET /a")),
    Case("close_and_keep_alive", fields(b"Connection: close, keep-alive\r\n"), "9112 9.3", closes("GET /a")),
    Case("keep_alive_and_close_apart", fields(b"Connection: keep-alive\r\nConnection: close\r\n"), "9112 9.3", closes("GET /a")),
    Case("names_host", fields(b"Connection: host\r\n"), "9110 7.6.1", sees("GET /a")),
    Case("names_length", post(b"Connection: Content-Length\r\nContent-Length: 5\r\n", b"hello"), "9110 7.6.1",
         sees("POST /a 5:hello")),
    Case("names_coding", post(b"Connection: Transfer-Encoding\r\n" + CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"), "9110 7.6.1",
         sees("POST /a 5:hello")),
    Case("of_commas", fields(b"Connection: ,, ,\r\n"), "9110 5.6.1", sees("GET /a")),
    Case("empty", fields(b"Connection:\r\n"), "9110 7.6.1", sees("GET /a")),
    Case("close_quoted", fields(b"Connection: \"close\"\r\n"), "9110 7.6.1", sees("GET /a"), nginx="as close_with_a_tail"),
    Case("close_with_a_tail", fields(b"Connection: closed\r\n"), "9112 9.6", sees("GET /a"),
         nginx="closes wherever it finds the letters `close`; the RFC has a list of words"),
    Case("proxy_connection_close", fields(b"Proxy-Connection: close\r\n"), "9112 C.2.2", sees("GET /a")),
    Case("keep_alive_field", fields(b"Keep-Alive: timeout=0, max=0\r\n"), "9112 C.2.2", sees("GET /a")),
    Case("http_1_0_closes", line(b"GET /a HTTP/1.0"), "9112 9.3", closes("GET /a")),
    Case("http_1_0_closes_and_a_request_behind", line(b"GET /a HTTP/1.0") + EVIL, "9112 9.3", closes("GET /a")),
    Case("http_1_0_kept_alive", line(b"GET /a HTTP/1.0", b"Host: h\r\nConnection: keep-alive\r\n"), "9112 9.3", sees("GET /a")),
    Case("http_1_0_body", line(b"POST /a HTTP/1.0", b"Host: h\r\nContent-Length: 5\r\n") + b"hello", "9112 6.3",
         closes("POST /a 5:hello")),
    *[Case(f"http_1_0_body_of_{method.lower()}", line(f"{method} /a HTTP/1.0".encode(), b"Host: h\r\nContent-Length: 5\r\n") +
           b"hello", "9110 9.3.1", refuses()) for method in ("GET", "HEAD", "DELETE")],
    *[Case(f"http_1_0_no_body_of_{method.lower()}", line(f"{method} /a HTTP/1.0".encode(), b"Host: h\r\nContent-Length: 0\r\n"),
           "9110 9.3.1", closes(f"{method} /a")) for method in ("GET", "HEAD", "DELETE")],
    *[Case(f"http_1_0_body_of_{method.lower()}", line(f"{method} /a HTTP/1.0".encode(), b"Host: h\r\nContent-Length: 5\r\n") +
           b"hello", "9112 6.3", closes(f"{method} /a 5:hello")) for method in ("PUT", "PATCH", "OPTIONS")],

    # Expect.
    Case("expects_continue", post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"), "9110 10.1.1",
         sees("POST /a 5:hello")),
    Case("expects_continue_without_a_body", fields(b"Expect: 100-continue\r\n"), "9110 10.1.1", sees("GET /a")),
    Case("expects_continue_chunked", post(b"Expect: 100-continue\r\n" + CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"), "9110 10.1.1",
         sees("POST /a 5:hello")),
    Case("expects_another_thing", post(b"Expect: 200-ok\r\nContent-Length: 5\r\n", b"hello"), "9110 10.1.1", refuses(417)),
    Case("expects_with_a_tail", post(b"Expect: 100-continue-or-else\r\nContent-Length: 5\r\n", b"hello"), "9110 10.1.1",
         refuses(417)),
    Case("expects_two_things", post(b"Expect: 100-continue, 100-continue\r\nContent-Length: 5\r\n", b"hello"), "9110 10.1.1",
         refuses(417)),
    Case("expects_nothing", post(b"Expect:\r\nContent-Length: 5\r\n", b"hello"), "9110 10.1.1", refuses(417)),
    Case("expects_in_1_0", line(b"POST /a HTTP/1.0", b"Host: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n") + b"hello",
         "9110 10.1.1", closes("POST /a 5:hello")),

    # Upgrade is an offer, and is not taken; what follows is HTTP/1.1 still.
    Case("upgrade_to_h2c", fields(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
         "9110 7.8", sees("GET /a")),
    Case("upgrade_to_h2c_and_a_request_behind", fields(b"Connection: Upgrade\r\nUpgrade: h2c\r\n") + GET_B, "9110 7.8",
         sees("GET /a", "GET /b")),
    Case("upgrade_to_websocket", fields(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "6455 4.2.2", sees("GET /a")),
    Case("upgrade_with_a_body", post(b"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n", b"hello"), "9110 7.8",
         sees("POST /a 5:hello")),
    Case("upgrade_with_chunks", post(b"Connection: Upgrade\r\nUpgrade: x\r\n" + CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"), "9110 7.8",
         sees("POST /a 5:hello")),
    Case("upgrade_without_connection", fields(b"Upgrade: h2c\r\n"), "9110 7.8", sees("GET /a")),
    Case("upgrade_to_tls", fields(b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n", b"OPTIONS /a HTTP/1.1"), "2817 3.2",
         sees("OPTIONS /a")),

    # In a row.
    Case("two", GET_A + GET_B, "9112 9.3.2", sees("GET /a", "GET /b")),
    Case("twenty", GET_A * 20, "9112 9.3.2", sees(*["GET /a"] * 20)),
    Case("two_and_a_blank_line_between", GET_A + b"\r\n" + GET_B, "9112 2.2", sees("GET /a", "GET /b")),
    Case("two_and_two_blank_lines_between", GET_A + b"\r\n\r\n" + GET_B, "9112 2.2", refuses(400, "GET /a")),
    Case("two_and_a_byte_between", GET_A + b"\0" + GET_B, "9112 3", refuses(400, "GET /a")),
    Case("two_and_a_letter_between", GET_A + b"X" + GET_B, "9110 9.1", refuses(501, "GET /a")),
    Case("two_and_a_space_between", GET_A + b" " + GET_B, "9112 3", refuses(400, "GET /a")),
    Case("two_and_a_bare_lf_between", GET_A + b"\n" + GET_B, "9112 2.2", refuses(400, "GET /a")),
    Case("body_then_body", post(b"Content-Length: 5\r\n", b"hello") + post(CHUNKED, b"3\r\nbye\r\n0\r\n\r\n") + GET_B,
         "9112 9.3.2", sees("POST /a 5:hello", "POST /a 3:bye", "GET /b")),
    Case("good_then_two_lengths", GET_A + post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"), "9110 8.6",
         refuses(400, "GET /a")),
    Case("good_then_length_and_coding", GET_A + post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n"), "9112 6.1",
         refuses(400, "GET /a")),
    Case("good_then_two_hosts", GET_A + fields(b"Host: evil\r\n"), "9112 3.2", refuses(400, "GET /a")),
    Case("good_then_unknown_method", GET_A + line(b"BREW /a HTTP/1.1"), "9110 9.1", refuses(501, "GET /a")),
    Case("good_then_folded", GET_A + fields(b"A: b\r\n c\r\n"), "9112 5.2", refuses(400, "GET /a")),
    Case("good_then_bad_chunk", GET_A + post(CHUNKED, b"5;\nhello\r\n0\r\n\r\n"), "9112 7.1", refuses(400, "GET /a")),
    Case("bad_then_good", line(b"GET /a HTTP/9.9") + GET_B, "9112 2.3", refuses(505)),
    Case("two_heads_of_3_kib", BIG + BIG, "9112 9.3.2", sees("GET /a", "GET /a")),
    Case("connect_then_more", GET_A + line(b"CONNECT h:80 HTTP/1.1", b"Host: h:80\r\n") + EVIL, "9110 9.3.6",
         refuses(501, "GET /a")),
]
