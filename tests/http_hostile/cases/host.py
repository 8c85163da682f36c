"""The Host field: who is asked."""

from case import Case, line, refuses, sees


def host(lines, first=b"GET /a HTTP/1.1"):
    return line(first, lines)


CASES = [
    Case("missing", host(b""), "9112 3.2", refuses()),
    Case("missing_in_1_0", host(b"Connection: keep-alive\r\n", b"GET /a HTTP/1.0"), "9112 3.2", sees("GET /a @-")),
    Case("empty", host(b"Host:\r\n"), "9112 3.2", refuses()),
    Case("of_blanks", host(b"Host:  \t \r\n"), "9112 3.2", refuses()),
    Case("twice", host(b"Host: h\r\nHost: h\r\n"), "9112 3.2", refuses()),
    Case("twice_differing", host(b"Host: h\r\nHost: evil\r\n"), "9112 3.2", refuses()),
    Case("twice_in_1_0", host(b"Host: h\r\nHost: evil\r\n", b"GET /a HTTP/1.0"), "9112 3.2", refuses()),
    Case("twice_in_other_case", host(b"Host: h\r\nhOST: evil\r\n"), "9112 3.2", refuses()),
    Case("twice_apart", host(b"Host: h\r\nA: b\r\nHost: evil\r\n"), "9112 3.2", refuses()),
    Case("twice_the_second_empty", host(b"Host: h\r\nHost:\r\n"), "9112 3.2", refuses()),
    Case("list", host(b"Host: h, evil\r\n"), "9112 3.2", refuses()),
    Case("list_without_blank", host(b"Host: h,evil\r\n"), "9112 3.2", refuses()),
    Case("two_words", host(b"Host: h evil\r\n"), "9112 3.2", refuses()),
    Case("with_path", host(b"Host: h/evil\r\n"), "9112 3.2", refuses()),
    Case("with_query", host(b"Host: h?evil\r\n"), "9112 3.2", refuses()),
    Case("with_fragment", host(b"Host: h#evil\r\n"), "9112 3.2", refuses()),
    Case("with_backslash", host(b"Host: h\\evil\r\n"), "9112 3.2", refuses()),
    Case("with_user", host(b"Host: me@h\r\n"), "9112 3.2", refuses()),
    Case("with_scheme", host(b"Host: http://h\r\n"), "9112 3.2", refuses()),
    Case("with_nul", host(b"Host: h\0evil\r\n"), "9112 3.2", refuses()),
    Case("with_tab", host(b"Host: h\tevil\r\n"), "9112 3.2", refuses()),
    Case("with_high_byte", host(b"Host: h\xe9\r\n"), "3986 3.2.2", refuses()),
    Case("with_quote", host(b'Host: "h"\r\n'), "3986 3.2.2", refuses()),
    Case("with_angle", host(b"Host: <h>\r\n"), "3986 3.2.2", refuses()),
    Case("with_percent_alone", host(b"Host: h%\r\n"), "3986 3.2.2", refuses()),
    Case("with_port", host(b"Host: h:8080\r\n"), "9112 3.2", sees("GET /a @h:8080")),
    Case("with_empty_port", host(b"Host: h:\r\n"), "9112 3.2", sees("GET /a @h:")),
    Case("with_letters_for_port", host(b"Host: h:8o\r\n"), "3986 3.2.3", refuses()),
    Case("with_port_above_65535", host(b"Host: h:65536\r\n"), "3986 3.2.3", refuses()),
    Case("with_negative_port", host(b"Host: h:-1\r\n"), "3986 3.2.3", refuses()),
    Case("with_two_ports", host(b"Host: h:80:81\r\n"), "3986 3.2.3", refuses()),
    Case("port_alone", host(b"Host: :80\r\n"), "9112 3.2", refuses()),
    Case("with_underscore", host(b"Host: h_1\r\n"), "3986 3.2.2", sees("GET /a @h_1")),
    Case("with_sub_delimiters", host(b"Host: h;a=1\r\n"), "3986 3.2.2", sees("GET /a @h;a=1")),
    Case("two_dots", host(b"Host: h..evil\r\n"), "1034 3.1", sees("GET /a @h..evil"),
         nginx="refuses an empty label; RFC 3986 has no labels, and the name is looked up by nobody here"),
    Case("dot_alone", host(b"Host: .\r\n"), "3986 3.2.2", sees("GET /a @."), nginx="as two_dots"),
    Case("ends_with_a_dot", host(b"Host: h.\r\n"), "3986 3.2.2", sees("GET /a @h."),
         nginx="leaves out the dot when it passes the host on; here it is passed on as it was sent"),
    Case("with_percent_slash", host(b"Host: h%2fevil\r\n"), "3986 3.2.2", sees("GET /a @h%2fevil")),
    Case("ipv6", host(b"Host: [::1]:80\r\n"), "3986 3.2.2", sees("GET /a @[::1]:80")),
    Case("ipv6_open", host(b"Host: [::1\r\n"), "3986 3.2.2", refuses()),
    Case("ipv6_empty", host(b"Host: []\r\n"), "3986 3.2.2", refuses()),
    Case("ipv6_with_a_tail", host(b"Host: [::1]evil\r\n"), "3986 3.2.2", refuses()),
    Case("ipv6_with_zone", host(b"Host: [fe80::1%25lo]\r\n"), "6874 2", refuses()),
    Case("ipv6_without_brackets", host(b"Host: ::1\r\n"), "3986 3.2.2", refuses()),
    Case("asterisk", host(b"Host: *\r\n"), "3986 3.2.2", sees("GET /a @*")),
    Case("of_8_kib", host(b"Host: " + b"h" * 8192 + b"\r\n"), "9112 3.2", sees("GET /a @" + "h" * 8192)),
]
