"""nginx and haproxy as judges: each stands before a backend that writes down what reaches it, or before a hostile server."""

import os
import re
import shutil
import socket
import subprocess
import threading
import time

from conversation import Outcome, answers, body_text, connect, converse, seen_text

PLACES = ":/usr/sbin:/usr/local/sbin"


def program(name):
    """Where it is, or None."""
    return shutil.which(name, path=os.environ.get("PATH", "") + PLACES)


def version(name):
    """Such as "1.22.1"."""
    said = subprocess.run([program(name), "-v"], capture_output=True, text=True, check=True)
    return re.search(r"(?:nginx/|version )(\d+\.\d+[.\d]*)", said.stdout + said.stderr)[1]


class Backend:
    """A server at a Unix socket that notes each request that came whole, and tells it in the answer as the witness does. It reads
    what proxies write, which is HTTP without corners; what it cannot read it notes as such."""

    def __init__(self, place):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(place)
        self.listener.listen(64)
        self.round = 0
        self.seen = []
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def begin(self):
        """From here on only what comes over new connections is noted."""
        with self.lock:
            self.round += 1
            self.seen = []

    def noted(self):
        with self.lock:
            return tuple(self.seen)

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                began = self.round
            threading.Thread(target=self.serve, args=(peer, began), daemon=True).start()

    def serve(self, peer, began):
        text = b""
        with peer:
            try:
                while more := peer.recv(65536):
                    text += more
                    while (found := self.request(text)) is not None:
                        what, text = found
                        with self.lock:
                            if began == self.round:
                                self.seen.append(what)
                        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSaw: yes\r\n\r\n")
            except OSError:
                pass  # the proxy has left

    @staticmethod
    def request(text):
        """(what was seen, the rest), or None while it is not whole."""
        end = text.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = text[:end].decode("latin-1").split("\r\n")
        rest = text[end + 4:]
        parts = lines[0].split(" ")
        fields = {}
        for name, _, value in (line.partition(":") for line in lines[1:]):
            before = fields.get(name.lower())
            fields[name.lower()] = value.strip() if before is None else f"{before}, {value.strip()}"
        body = b""
        if "chunked" in fields.get("transfer-encoding", "").lower():
            while True:
                size_end = rest.find(b"\r\n")
                if size_end < 0:
                    return None
                size = int(rest[:size_end].split(b";")[0], 16)
                if size == 0:
                    trailers_end = 0 if rest[size_end:].startswith(b"\r\n\r\n") else rest.find(b"\r\n\r\n", size_end)
                    if trailers_end < 0:
                        return None
                    rest = rest[(trailers_end or size_end) + 4:]
                    break
                if len(rest) < size_end + 2 + size + 2:
                    return None
                body += rest[size_end + 2:size_end + 2 + size]
                rest = rest[size_end + 2 + size + 2:]
        else:
            length = int(fields.get("content-length", "0"))
            if len(rest) < length:
                return None
            body, rest = rest[:length], rest[length:]
        target = parts[1] if len(parts) == 3 else f"?{lines[0]}"
        scheme, found, behind = target.partition("://")
        host = re.split(r"[/?]", behind)[0] if found and scheme.lower() in ("http", "https") else fields.get("host", "-")
        return seen_text(parts[0], target, host, body_text(body)), rest

    def close(self):
        self.listener.close()


class Proxy:
    """One of both, with several places to talk to. Before each stands one backend, or the hostile server behind `port`.

    Limits are above levity's, so that what is compared is how bytes are read and not what a default allows."""

    def __init__(self, name, folder, lanes, port=None):
        self.name = name
        os.makedirs(folder)
        self.places = [os.path.join(folder, f"front{i}") for i in range(lanes)]
        backs = [os.path.join(folder, f"back{i}") for i in range(lanes)]
        self.backends = [] if port else [Backend(back) for back in backs]
        text = {"nginx": self.nginx, "haproxy": self.haproxy}[name](folder, list(zip(self.places, backs)), port)
        conf = os.path.join(folder, "conf")
        with open(conf, "w", encoding="utf-8") as into:
            into.write(text)
        self.log = open(os.path.join(folder, "log"), "w+", encoding="utf-8")
        words = {"nginx": ["-p", folder + "/", "-c", conf, "-e", "stderr"], "haproxy": ["-db", "-q", "-f", conf]}[name]
        self.process = subprocess.Popen([program(name), *words], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                self.log.seek(0)
                raise RuntimeError(f"{name} does not start: {self.log.read()}")
            time.sleep(0.05)

    def answers(self):
        try:
            for place in self.places:
                connect(place).close()
        except OSError:
            return False
        return True

    @staticmethod
    def nginx(folder, lanes, port):
        temporary = "".join(f"  {what}_temp_path {folder}/{what};\n" for what in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        servers = "".join(f"""  server {{
    listen unix:{front};
    location / {{ proxy_pass http://{f"127.0.0.1:{port}" if port else f"unix:{back}:"}; }}
  }}
""" for front, back in lanes)
        return f"""daemon off; master_process off; worker_processes 1; pid {folder}/pid;
events {{ worker_connections 512; }}
http {{
  access_log off; error_log /dev/null;
{temporary}  client_header_buffer_size 4k; large_client_header_buffers 8 160k; client_max_body_size 1m;
  client_header_timeout 20s; client_body_timeout 20s; keepalive_timeout 20s; keepalive_requests 1000;
  proxy_http_version 1.1; proxy_set_header Host $host; proxy_ignore_client_abort on; proxy_read_timeout 20s;
  proxy_buffer_size 128k; proxy_buffers 8 128k; proxy_busy_buffers_size 256k; proxy_next_upstream off;
{servers}}}
"""

    @staticmethod
    def haproxy(folder, lanes, port):
        del folder
        pairs = "".join(f"""listen lane{i}
  bind unix@{front}
  server back {f"127.0.0.1:{port}" if port else f"unix@{back}"}
""" for i, (front, back) in enumerate(lanes))
        return f"""global
  nbthread 1
  tune.bufsize 163840
  tune.http.maxhdr 400
defaults
  mode http
  http-reuse never
  timeout connect 20s
  timeout client 20s
  timeout server 20s
  timeout http-request 20s
  timeout http-keep-alive 20s
{pairs}"""

    def judge(self, lane, data):
        """What reached the backend of that lane, and how the client was answered."""
        backend = self.backends[lane]
        backend.begin()
        said, ended = converse(self.places[lane], data)
        refused = [code for code, fields in answers(said) if "saw" not in fields]
        return Outcome(backend.noted(), refused[-1] or 999 if refused else 0, ended)

    def ask(self, lane, method, name):
        """What a client behind this proxy is told of the hostile server's answer, as witness.cpp would say it."""
        said, _ = converse(self.places[lane], f"{method} /{name} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        while re.match(rb"HTTP/1.1 1\d\d ", said):
            said = said[said.index(b"\r\n\r\n") + 4:]
        head, found, rest = said.partition(b"\r\n\r\n")
        if not found or not head.startswith(b"HTTP/1."):
            return "failed without an answer" if not said else "passes on what is no answer"
        lines = head.decode("latin-1").split("\r\n")
        status = lines[0].split(" ")[1]
        if status in ("502", "504"):
            return f"failed {status}"
        fields = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
        if method == "HEAD" or status in ("204", "304"):
            return f"answer {status} {body_text(rest)}"
        if "chunked" in fields.get("transfer-encoding", "").lower():
            body = b""
            while True:
                size_text, found, rest = rest.partition(b"\r\n")
                size = int(size_text, 16) if found else -1
                if size <= 0 or len(rest) < size + 2:
                    break
                body, rest = body + rest[:size], rest[size + 2:]
            return f"answer {status} {body_text(body)}" if size == 0 else "failed cut short"
        length = int(fields.get("content-length", len(rest)))
        return f"answer {status} {body_text(rest[:length])}" if len(rest) >= length else "failed cut short"

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        for backend in self.backends:
            backend.close()
