"""One connection to a server: bytes go in, and what the answers say comes out."""

import dataclasses
import select
import socket
import time

# Between the last byte that came and the end of our side: a server that waits for more is told that there is none.
PATIENCE_S = 0.15
LIMIT_S = 20


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What handlers saw, in order; the status of the refusal behind it, or 0; whether the server ended the connection."""
    seen: tuple
    status: int = 0
    ended: bool = True

    def __str__(self):
        parts = [text if len(text) < 60 else text[:56] + "..." for text in self.seen]
        if self.status:
            parts.append(f"refused {self.status}")
        if not self.ended:
            parts.append("left open")
        return ", ".join(parts) or "nothing"


def seen_text(method, target, host, body):
    """As case.py writes it; `body` is LENGTH:TEXT."""
    text = f"{method} {path_of(target)}"
    if host != "h":
        text += f" @{host}"
    return text if body == "0:" else f"{text} {body}"


def path_of(target):
    """What an absolute target asks its host for."""
    scheme, found, rest = target.partition("://")
    if not found or scheme.lower() not in ("http", "https"):
        return target
    at = min([at for at in (rest.find("/"), rest.find("?")) if at >= 0], default=len(rest))
    return rest[at:] if rest[at:].startswith("/") else "/" + rest[at:]


def body_text(body):
    """As witness.cpp writes it."""
    return f"{len(body)}:" + "".join(chr(c) if chr(c).isascii() and chr(c).isalnum() else "." for c in body[:24])


def connect(place):
    """To a port of this machine, or to a Unix socket."""
    if isinstance(place, int):
        peer = socket.create_connection(("127.0.0.1", place), timeout=LIMIT_S)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer
    peer = socket.socket(socket.AF_UNIX)
    try:
        peer.settimeout(LIMIT_S)
        peer.connect(place)
    except OSError:
        peer.close()
        raise
    return peer


def send(peer, data, size):
    """What is left of `data`: nothing, where the other side has closed; what it said before that is yet to be read."""
    try:
        return data[peer.send(data[:size]):]
    except (BrokenPipeError, ConnectionResetError):
        return data[:0]


def converse(place, data, pause_s=0.0):
    """Everything that the server at `place` says to these bytes, and whether it ended the connection; byte by byte where a pause is
    named. What it says is read beside the sending: whoever has refused need not read on."""
    said, ended, told = bytearray(), False, False
    rest, until = memoryview(data), time.monotonic() + LIMIT_S
    with connect(place) as peer:
        peer.setblocking(False)
        try:
            while not ended and time.monotonic() < until:
                readable, writable, _ = select.select([peer], [peer] if rest else [], [], LIMIT_S if told else PATIENCE_S)
                if readable:
                    more = peer.recv(65536)
                    said += more
                    ended = not more
                if writable and not ended:
                    rest = send(peer, rest, 1 if pause_s else len(rest))
                    time.sleep(pause_s)
                elif not readable and not told:
                    told = True
                    peer.shutdown(socket.SHUT_WR)
        except OSError:
            ended = True  # by a reset; what was said before it may be gone, and is then missed
    return bytes(said), ended


def answers(said):
    """(status, fields) of each answer in `said`, which levity, nginx, haproxy or the backend has written; interim ones left out."""
    found, at = [], 0
    while at < len(said):
        end = said.find(b"\r\n\r\n", at)
        if end < 0 or not said.startswith(b"HTTP/1.", at):
            found.append((0, {"text": said[at:at + 80]}))
            break
        lines = said[at:end].decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        fields = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines[1:])}
        at = end + 4
        if status >= 200:
            at += int(fields.get("content-length", "0"))
            found.append((status, fields))
    return found


def outcome_of(said, ended):
    """What levity's witness saw and answered."""
    seen, status = [], 0
    for code, fields in answers(said):
        if "saw" in fields:
            seen.append(seen_text(*fields["saw"].split(" ")))
        elif code in (404, 405):
            seen.append("404")
        else:
            status = code or 999
    return Outcome(tuple(seen), status, ended)
