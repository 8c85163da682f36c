#!/usr/bin/env python3
"""Every example, as a process of its own on the loopback, does what its first lines say."""

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("LEVITY_BUILD_DIR", os.path.join(os.path.dirname(HERE), "build", "gcc-release"))
PATIENCE = 60  # seconds: for what must happen; nothing waits this long unless it is broken


def program(name):
    return os.path.join(BUILD, "examples", name)


def run(name, *arguments, **more):
    done = subprocess.run([program(name), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
                          check=False, **more)
    # On a machine so busy that a task gets no processor for 100 ms levity says so, and is right.
    done.stderr = re.sub(r"^levity: task .* gets no CPU, .*\n( +.*\n)*", "", done.stderr, flags=re.M)
    return done


class Server:
    """A program that says where it listens, until it is told to end."""

    def __init__(self, test, name, *arguments):
        self.process = subprocess.Popen([program(name), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        test.addCleanup(self.kill)
        line = self.process.stdout.readline()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        test.assertIsNotNone(found, f"{name} said {line!r}")
        self.port = int(found.group(1))

    def connect(self, test, receive_buffer=None):
        peer = socket.socket()
        test.addCleanup(peer.close)
        if receive_buffer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.settimeout(PATIENCE)
        peer.connect(("127.0.0.1", self.port))
        return peer

    def end(self, how=signal.SIGTERM):
        """Exit code, what else it wrote, what it complained about."""
        self.process.send_signal(how)
        out, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, errors

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def all_of(peer):
    """What comes until the peer ends."""
    pieces = []
    while True:
        piece = peer.recv(65536)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


class Echo(unittest.TestCase):
    def test_every_connection_hears_itself_and_only_itself(self):
        server = Server(self, "echo", "127.0.0.1:0")
        peers = [server.connect(self) for _ in range(20)]
        for number, peer in enumerate(peers):
            peer.sendall(f"this is {number}".encode() * 1000)
        for number, peer in enumerate(peers):
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(all_of(peer), f"this is {number}".encode() * 1000)

    def test_ends_well_with_connections_open(self):
        server = Server(self, "echo", "127.0.0.1:0")
        peer = server.connect(self)
        peer.sendall(b"x")
        self.assertEqual(peer.recv(1), b"x")
        self.assertEqual(server.end(signal.SIGINT), (0, "", ""))
        self.assertEqual(peer.recv(1), b"")

    def test_says_why_it_cannot_listen(self):
        server = Server(self, "echo", "127.0.0.1:0")
        second = run("echo", f"127.0.0.1:{server.port}")
        self.assertEqual(second.returncode, 1)
        self.assertIn("another", second.stderr)


class Chat(unittest.TestCase):
    def enter(self, server, room, name, **more):
        peer = server.connect(self, **more)
        peer.sendall(f"{room} {name}\n".encode())
        lines = peer.makefile("r", encoding="utf-8")
        self.assertEqual(lines.readline(), f"*** {name} is here\n")
        return peer, lines

    def test_a_room_hears_what_is_said_in_it_and_nothing_else(self):
        server = Server(self, "chat", "127.0.0.1:0")
        ann, ann_hears = self.enter(server, "kitchen", "ann")
        cid, cid_hears = self.enter(server, "garden", "cid")
        bob, bob_hears = self.enter(server, "kitchen", "bob")
        self.assertEqual(ann_hears.readline(), "*** bob is here\n")
        ann.sendall(b"tea?\r\n")
        for hears in (ann_hears, bob_hears):
            self.assertEqual(hears.readline(), "ann: tea?\n")
        bob.shutdown(socket.SHUT_WR)
        self.assertEqual(bob_hears.readline(), "")
        self.assertEqual(ann_hears.readline(), "*** bob has left\n")
        cid.sendall(b"rain\n")
        self.assertEqual(cid_hears.readline(), "cid: rain\n")
        self.assertEqual(server.end()[0], 0)

    def test_a_slow_reader_is_told_what_it_missed_and_holds_nobody_up(self):
        server = Server(self, "chat", "127.0.0.1:0")
        slow, slow_hears = self.enter(server, "hall", "slow", receive_buffer=4096)
        loud, loud_hears = self.enter(server, "hall", "loud")
        count, text = 1500, "x" * 1000
        for number in range(count):  # in step with what it hears, so it never falls behind; 1.5 MB, more than is kept for slow
            loud.sendall(f"{number} {text}\n".encode())
            self.assertEqual(loud_hears.readline(), f"loud: {number} {text}\n")
        self.assertEqual(slow_hears.readline(), "*** loud is here\n")
        heard, missed, last = 0, 0, ""
        while not last.startswith(f"loud: {count - 1} "):
            last = slow_hears.readline()
            self.assertNotEqual(last, "")
            found = re.fullmatch(r"\*\*\* you were too slow and missed (\d+) messages\n", last)
            if found:
                missed += int(found.group(1))
            else:
                heard += 1
        self.assertGreater(missed, 0)
        self.assertEqual(heard + missed, count)
        slow.close()

    def test_who_does_not_say_where_is_sent_away(self):
        server = Server(self, "chat", "127.0.0.1:0")
        peer = server.connect(self)
        peer.sendall(b"hello\n")
        self.assertEqual(all_of(peer), b"*** say ROOM NAME first\n")


class TcpProxy(unittest.TestCase):
    def test_what_goes_in_comes_out_on_both_sides(self):
        echo = Server(self, "echo", "127.0.0.1:0")
        proxy = Server(self, "tcp_proxy", "127.0.0.1:0", f"127.0.0.1:{echo.port}")
        data = os.urandom(3_000_000)
        peer = proxy.connect(self)
        heard = bytearray()
        peer.setblocking(True)
        view = memoryview(data)
        while view:  # keeps reading, as nobody in between buffers all of it
            piece = view[:65536]
            peer.sendall(piece)
            view = view[len(piece):]
            while len(heard) < len(data) - len(view):
                heard += peer.recv(65536)
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(all_of(peer), b"")
        self.assertEqual(bytes(heard), data)
        self.assertRegex(proxy.process.stdout.readline(), r"^127\.0\.0\.1:\d+: 3000000 bytes there, 3000000 back\n$")

    def test_one_side_may_end_before_the_other(self):
        target = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(target.close)
        proxy = Server(self, "tcp_proxy", "127.0.0.1:0", f"127.0.0.1:{target.getsockname()[1]}")
        peer = proxy.connect(self)
        peer.sendall(b"question")
        peer.shutdown(socket.SHUT_WR)
        behind, _ = target.accept()
        with behind:
            behind.settimeout(PATIENCE)
            self.assertEqual(all_of(behind), b"question")
            behind.sendall(b"answer")
        self.assertEqual(all_of(peer), b"answer")

    def test_without_a_target_the_client_is_reset(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            nobody = taken.getsockname()[1]
        proxy = Server(self, "tcp_proxy", "127.0.0.1:0", f"127.0.0.1:{nobody}")
        peer = proxy.connect(self)
        with self.assertRaises(ConnectionResetError):
            peer.recv(1)
            peer.recv(1)
        self.assertIn("refused", proxy.end()[2])


class GracefulServer(unittest.TestCase):
    def test_what_was_begun_is_answered_and_nothing_else_begins(self):
        server = Server(self, "graceful_server", "127.0.0.1:0")
        idle, busy = server.connect(self), server.connect(self)
        for peer in (idle, busy):
            peer.sendall(b"0\n")
            self.assertEqual(peer.recv(16), b"done\n")
        busy.sendall(b"2500\n1\n")  # one that is begun, and one that was read with it
        # The only way to see from outside that they were read: the server's receive queue is empty.
        self.until_read(server, busy)
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.stdout.readline(), "draining 2 connections\n")
        with self.assertRaises(ConnectionRefusedError):
            server.connect(self)
        self.assertEqual(idle.recv(16), b"")
        self.assertIsNone(server.process.poll())
        self.assertEqual(all_of(busy), b"done\ndone\n")
        out, _ = server.process.communicate(timeout=PATIENCE)
        self.assertEqual((server.process.returncode, out), (0, "drained\n"))

    def until_read(self, server, peer):
        wanted = f"0100007F:{server.port:04X} 0100007F:{peer.getsockname()[1]:04X} 01 00000000:00000000"
        for _ in range(100_000):
            with open("/proc/net/tcp", encoding="ascii") as table:
                if wanted in table.read():
                    return
        self.fail("the request was not read")

    def test_a_request_that_takes_too_long_is_given_up(self):
        server = Server(self, "graceful_server", "127.0.0.1:0")
        peer = server.connect(self)
        peer.sendall(b"3600000\n")
        self.assertEqual(peer.recv(16), b"too late\n")


class PortScanner(unittest.TestCase):
    def test_finds_what_listens_and_nothing_else(self):
        with contextlib.ExitStack() as open_ones:
            listening = {open_ones.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(5)}
            bound = open_ones.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))  # taken, but nobody listens
            ports = listening | {bound.getsockname()[1]}
            done = run("port_scanner", str(max(min(ports) - 50, 1)), str(min(max(ports) + 50, 65535)))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            found = [int(line) for line in done.stdout.split()]
            self.assertEqual(found, sorted(set(found)))
            self.assertLessEqual(listening, set(found))
            self.assertNotIn(bound.getsockname()[1], found)
            # Others may listen there, too; whatever it found can be connected to, unless it has gone meanwhile.
            for port in found:
                if port not in listening:
                    with contextlib.suppress(ConnectionRefusedError):
                        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()

    def test_refuses_what_are_no_ports(self):
        for wrong in (("0", "10"), ("10", "1"), ("1", "65536"), ("a", "b"), ("5",)):
            self.assertEqual(run("port_scanner", *wrong).returncode, 2, wrong)


class Crawler(unittest.TestCase):
    def expected(self, pages):
        """Fetched, timed out, missing."""
        seen, wanted, counts = {0}, [0], [0, 0, 0]
        while wanted:
            n = wanted.pop()
            kind = 1 if n % 100 == 99 else 2 if n + 1 == pages else 0
            counts[kind] += 1
            if kind == 0:
                fresh = {m for m in (2 * n + 1, 2 * n + 2, n // 2) if m < pages} - seen
                seen |= fresh
                wanted += fresh
        return counts

    def test_sees_every_page_once_and_keeps_its_limit(self):
        done = run("crawler", "250")
        fetched, timed_out, missing = self.expected(250)
        self.assertGreater(timed_out * missing, 0)  # the site has all kinds
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout,
                         f"{fetched} pages, {timed_out} timed out, {missing} missing, at most 8 at a time\n")


class UdpTelemetrySink(unittest.TestCase):
    def setUp(self):
        self.sink = Server(self, "udp_telemetry_sink", "127.0.0.1:0")
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.sender.close)
        self.sender.connect(("127.0.0.1", self.sink.port))

    def until(self, wanted):
        """Reads the lines of every second until one begins with what is wanted."""
        for _ in range(PATIENCE):
            if self.sink.process.stdout.readline().startswith(wanted):
                return
        self.fail(f"never said {wanted}")

    def test_adds_up_what_comes_and_tells_it_in_the_end(self):
        for number in range(100):
            self.sender.send(f"db.query_ms {number}\ncache.hits 1\n".encode())
        self.sender.send(b"temperature -3.5")
        self.until("201 samples, ")
        code, out, errors = self.sink.end(signal.SIGINT)
        self.assertEqual((code, errors), (0, ""))
        self.assertRegex(out, r"(?m)^cache\.hits +100 times, sum 100, min 1, max 1$")
        self.assertRegex(out, r"(?m)^db\.query_ms +100 times, sum 4950, min 0, max 99$")
        self.assertRegex(out, r"(?m)^temperature +1 times, sum -3\.5, min -3\.5, max -3\.5$")
        self.assertIn(" of 3 metrics; 0 malformed, 0 refused, 0 datagrams dropped\n", out)

    def test_strangers_cannot_make_it_grow_or_count_wrong(self):
        self.sender.send(b"")  # no line, and nothing wrong
        for line in (b"noise", b"a b", b"a 1 2", b"a nan", b"a inf", b"a 1e999", b" 1", b"x" * 65 + b" 1", b"\x1b[2J 1", b"\xff"):
            self.sender.send(line)
        self.sender.send(b"cut 1\n" + b"c" * 4000 + b" 2\n")
        self.sender.send(b"".join(b"m%d 1\n" % number for number in range(100)))
        for first in range(100, 1200, 100):
            self.sender.send(b"".join(b"m%d 1\n" % number for number in range(first, first + 100)))
            if first % 300 == 0:
                self.until("")  # a second: nothing is dropped for our haste
        self.until("1000 samples, ")
        out = self.sink.end(signal.SIGTERM)[1]
        self.assertIn("1000 samples, ", out)
        self.assertIn(" of 1000 metrics; 11 malformed, 201 refused, 0 datagrams dropped\n", out)
        self.assertEqual(len(out.splitlines()) - len([line for line in out.splitlines() if "samples" in line]), 1000)


class FileCopier(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="levity-copy-")
        self.addCleanup(folder.cleanup)
        self.source, self.copy = os.path.join(folder.name, "source"), os.path.join(folder.name, "copy")
        self.folder = folder.name

    def write(self, data):
        with open(self.source, "wb") as file:
            file.write(data)

    def read(self):
        with open(self.copy, "rb") as file:
            return file.read()

    def test_the_copy_is_the_same(self):
        for size in (0, 1, 256 * 1024, 256 * 1024 * 8 + 1, 5_000_001):
            data = os.urandom(size)
            self.write(data)
            done = run("file_copier", self.source, self.copy)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""), size)
            self.assertEqual(self.read(), data, size)
            self.assertEqual(sorted(os.listdir(self.folder)), ["copy", "source"])

    def test_a_missing_source_is_said_and_nothing_is_made(self):
        done = run("file_copier", self.source, self.copy)
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.source, done.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_copy_that_fails_half_way_leaves_the_old_file_alone(self):
        with open(self.copy, "wb") as file:
            file.write(b"old")
        self.write(os.urandom(5_000_000))
        limit = 1_000_000
        done = run("file_copier", self.source, self.copy, restore_signals=False,  # SIGXFSZ stays ignored: writes fail with EFBIG
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(self.read(), b"old")
        self.assertEqual(sorted(os.listdir(self.folder)), ["copy", "source"])


if __name__ == "__main__":
    unittest.main()
