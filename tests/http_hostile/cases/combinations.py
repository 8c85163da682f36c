"""Requests made of parts that are odd and yet accepted, a few hundred of all that there could be, the same each time.

Why: what levity accepts and nginx refuses for one reason, and what levity accepts and haproxy refuses for another, make together a
request that both refuse."""

import itertools
import random

from case import Case, sees

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH")
TARGETS = (b"/a", b"/a%00", b"/../a", b"/%2e%2e/a", b"/a?{b|c}^`\\", b"//a", b"*", b"http://h/a", b"http://h", b"http://h?a",
           b"https://h:443/a", b"http://H:80/a", b"http://h_1/a", b"http://h%2fevil/a", b"http://other/a", b"http://h:81/a")
VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")
HOSTS = (b"Host: h\r\n", b"Host:h:80\r\n", b"Host: h_1\r\n", b"Host: h%2fevil\r\n", b"Host: h..evil\r\n", b"Host: h.\r\n",
         b"Host: h:81\r\n", b"Host: [::1]:80\r\n", b"Host: *\r\n", b"")
LINES = (b"", b"A:\r\n", b"A: \xff\x80\r\n", b"A_B: c\r\n", b"!#$%&'*+-.^`|~: b\r\n", b"Connection: keep-alive\r\n",
         b"Connection: host, closed\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Expect: 100-continue\r\n")
BODIES = ((b"", b""), (b"Content-Length: 0\r\n", b""), (b"Content-Length: 0005\r\n", b"hello"),
          (b"Transfer-Encoding: chunked\r\n", b"05;a=\"\r\nhello\r\n00;\xff\r\nHost: evil\r\n\r\n"),
          (b"Transfer-Encoding: Chunked\r\n", b"0\r\n\r\n"))
COUNT = 1000


def cases():
    every = list(itertools.product(METHODS, TARGETS, VERSIONS, HOSTS, LINES, BODIES))
    chosen = random.Random(36).sample(every, COUNT)
    return [Case(b" ".join((method, target, version, host + lines)).decode("latin-1").replace("\r\n", " | ") +
                 length.decode().replace("\r\n", " | "),
                 method + b" " + target + b" " + version + b"\r\n" + host + lines + length + b"\r\n" + body, "", sees(),
                 category="combinations")
            for method, target, version, host, lines, (length, body) in chosen]
