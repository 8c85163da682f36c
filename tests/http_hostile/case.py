"""What a hostile case is: the exact bytes, what RFC 9112 says to them, and what levity must make of them.

A case is one connection: its bytes, then a harmless request of ours, the marker. What counts is what the handlers saw, so that a
request is noticed that hides in another, or swallows the marker. What is seen is written as

    GET /a            method and target; the host is "h" where nothing is said
    GET /a @other     another host
    POST /a 5:hello   the length of the body and its first bytes, the odd ones as dots

and 404 stands for a request that was read and has no route here.
"""

import dataclasses

MARKER = "GET /marker"
MARKER_BYTES = b"GET /marker HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Expected:
    """What levity must do: let handlers see `seen`, then refuse with `status`; 0 where it refuses nothing."""
    seen: tuple
    status: int = 0


def sees(*seen):
    """All is accepted, the marker as well."""
    return Expected((*seen, MARKER))


def closes(*seen):
    """These are accepted and then the connection ends, without a word, and the marker is not looked at."""
    return Expected(tuple(seen))


def refuses(status=400, *seen):
    """After `seen`, which is harmless, the rest is answered by that status and the connection ends: no handler sees more."""
    return Expected(tuple(seen), status)


@dataclasses.dataclass(frozen=True)
class Case:
    """`nginx` and `haproxy` say why that one does not do as levity does where levity accepts. `marker` is False where the peer ends
    its side behind the bytes instead."""
    name: str
    data: bytes
    rfc: str
    expected: Expected
    nginx: str = ""
    haproxy: str = ""
    marker: bool = True
    category: str = ""

    @property
    def all_bytes(self):
        return self.data + (MARKER_BYTES if self.marker else b"")

    @property
    def harmless(self):
        """How many requests come before the hostile one: where levity refuses, those that it must have answered before."""
        return len(self.expected.seen) if self.expected.status else 0


@dataclasses.dataclass(frozen=True)
class AnswerCase:
    """An answer of a hostile server to GET, or to `method`, and what levity's client must make of it: `answer 200 5:hello`, or the
    refusal by which it gives up. The server closes behind its bytes where `closes` says so; a next request over the same client
    must be given its own answer in any case."""
    name: str
    data: bytes
    rfc: str
    expected: str
    nginx: str = ""
    haproxy: str = ""
    method: str = "GET"
    closes: bool = False
    category: str = "answers"


# ---- the parts of which most cases are made --------------------------------------------------------------------------

def line(first, fields=b"Host: h\r\n"):
    """A request of that first line."""
    return first + b"\r\n" + fields + b"\r\n"


def fields(lines, first=b"GET /a HTTP/1.1"):
    """A request with these lines behind Host."""
    return first + b"\r\nHost: h\r\n" + lines + b"\r\n"


def post(lines, body=b""):
    """A POST with these lines behind Host, and what follows."""
    return fields(lines, b"POST /a HTTP/1.1") + body


def sized(length, body=b"hello"):
    """A POST with that Content-Length."""
    return post(b"Content-Length: " + length + b"\r\n", body)


def coded(coding, body=b"5\r\nhello\r\n0\r\n\r\n"):
    """A POST with that Transfer-Encoding."""
    return post(b"Transfer-Encoding: " + coding + b"\r\n", body)


def chunks(body):
    """A POST whose chunked body is written like that."""
    return coded(b"chunked", body)


GET_B = b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
EVIL = b"GET /evil HTTP/1.1\r\nHost: h\r\n\r\n"
