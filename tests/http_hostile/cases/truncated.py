"""Requests that end too early: the peer ends its side, and no handler may see what never came whole."""

from case import Case, chunks, closes, fields, sized

# Behind which bytes of a request the end is told. None of them is a request, nor may become one.
SIZED = sized(b"5")
CHUNKED = chunks(b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n")
GET = fields(b"A: b\r\n")


def cut(what, whole, *parts):
    """One case for each part: the request up to behind its first occurrence, without its last byte where it ends with the part."""
    for name, part in parts:
        end = whole.index(part) + len(part)
        yield Case(f"{what}_cut_behind_{name}", whole[:min(end, len(whole) - 1)], "9112 8", closes(), marker=False)


CASES = [
    Case("nothing", b"", "9112 9.5", closes(), marker=False),
    Case("cr_alone", b"\r", "9112 2.2", closes(), marker=False),
    Case("crlf_alone", b"\r\n", "9112 2.2", closes(), marker=False),
    *cut("get", GET, ("a_letter", b"G"), ("the_method", b"GET"), ("a_space", b"GET "), ("the_target", b"/a"),
         ("the_slash_of_the_version", b"HTTP/"), ("the_version", b"1.1"), ("the_first_cr", b"1.1\r"),
         ("the_first_line", b"1.1\r\n"),
         ("a_name", b"Host"), ("a_colon", b"Host:"), ("a_value", b"Host: h"), ("a_field", b"Host: h\r\n"),
         ("the_last_field", b"A: b\r\n"), ("the_last_cr", b"A: b\r\n\r")),
    *cut("sized", SIZED, ("the_length", b"Content-Length: 5"), ("the_fields", b"Content-Length: 5\r\n"),
         ("the_head", b"\r\n\r\n"), ("a_byte_of_the_body", b"\r\n\r\nh"), ("all_but_the_last_byte", b"\r\n\r\nhello")),
    *cut("chunked", CHUNKED, ("the_head", b"\r\n\r\n"), ("a_size", b"\r\n\r\n5"), ("a_semicolon", b"5;"),
         ("an_extension", b"5;a=b"),
         ("the_cr_of_a_size", b"5;a=b\r"), ("a_size_line", b"5;a=b\r\n"), ("a_part_of_the_data", b"hel"), ("the_data", b"hello"),
         ("the_cr_of_the_data", b"hello\r"), ("a_chunk", b"hello\r\n"), ("the_last_zero", b"hello\r\n0"),
         ("the_last_size", b"hello\r\n0\r\n"), ("a_part_of_a_trailer", b"0\r\nA:"), ("a_trailer", b"0\r\nA: b\r\n"),
         ("the_last_cr", b"0\r\nA: b\r\n\r")),
    Case("good_then_cut_in_the_head", fields(b"") + b"GET /b HTTP/1.1\r\nHost: h\r\n", "9112 8", closes("GET /a"), marker=False),
    Case("good_then_cut_in_the_body", fields(b"") + sized(b"5", b"hell"), "9112 8", closes("GET /a"), marker=False),
    Case("good_then_cut_in_a_chunk", fields(b"") + chunks(b"5\r\nhel"), "9112 8", closes("GET /a"), marker=False),
]
