#!/usr/bin/env python3
"""Hostile requests and answers, against levity alone: what each must come to stands in its case (cases/)."""

import concurrent.futures
import dataclasses
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
# Behind that line, which keeps their bytecode out of the sources, hence E402.
import case  # noqa: E402
from conversation import Outcome, converse, outcome_of  # noqa: E402
from cases import answers, chunks, coding, connection, fields, host, length, request_line, target, truncated  # noqa: E402

BUILDS = os.environ.get("LEVITY_BUILD_DIR", "")
GROUPS = (request_line, target, fields, host, length, coding, chunks, connection, truncated)
LANES = 16
# A pause long enough for the server to read what is there; a byte that it does not read alone makes the case no worse than it was.
BYTE_PAUSE_S = 0.0002
SPLIT_BYTES_MAX = 1500


def requests():
    """All cases of requests, each with its category."""
    found = []
    for group in GROUPS:
        category = group.__name__.rsplit(".", 1)[-1]
        found += [dataclasses.replace(each, category=category) for each in group.CASES]
    return found


class Witness:
    """A server of levity that says what its handlers saw."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([os.path.join(BUILDS, "http_witness"), "serve", *arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def end(self):
        self.process.terminate()
        _, complaints = self.process.communicate(timeout=60)
        return self.process.returncode, complaints


def ask_witness(port, cases):
    """What levity's client makes of each answer: a line for the case, and one for the marker behind it."""
    lines = "".join(f"{each.method} http://127.0.0.1:{port}/{each.name}\nGET http://127.0.0.1:{port}/marker\n" for each in cases)
    said = subprocess.run([os.path.join(BUILDS, "http_witness"), "ask"], input=lines, capture_output=True, text=True, timeout=300)
    texts = said.stdout.splitlines()
    if len(texts) != 2 * len(cases):
        raise RuntimeError(f"the asker ended early ({said.returncode}): {said.stderr}")
    return [(texts[2 * i], texts[2 * i + 1]) for i in range(len(cases))]


class HostileServer:
    """Answers GET /NAME by the bytes of that case, and everything else by "marker"."""

    MARKER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nmarker"

    def __init__(self, cases):
        self.cases = {each.name: each for each in cases}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while self.answer(peer):
                    pass
            except OSError:
                pass  # the client has given up, as it should now and then

    def answer(self, peer):
        text = b""
        while b"\r\n\r\n" not in text:
            more = peer.recv(65536)
            if not more:
                return False
            text += more
        name = text.split(b" ", 2)[1].decode("latin-1").lstrip("/")
        found = self.cases.get(name)
        peer.sendall(found.data if found else self.MARKER)
        if found and found.closes:
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass
            return False
        return True

    def close(self):
        self.listener.close()


def in_lanes(does, cases):
    with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
        return list(lanes.map(does, cases))


class HostileRequests(unittest.TestCase):
    def setUp(self):
        self.witness = Witness()
        self.addCleanup(self.check_end)

    def check_end(self):
        code, complaints = self.witness.end()
        self.assertEqual(code, 0, f"the server did not end as it should: {complaints}")

    def compare(self, cases, pause_s=0.0):
        begun = time.monotonic()
        outcomes = in_lanes(lambda each: outcome_of(*converse(self.witness.port, each.all_bytes, pause_s)), cases)
        wrong = []
        for each, got in zip(cases, outcomes):
            wanted = Outcome(each.expected.seen, each.expected.status)
            if got != wanted:
                wrong.append(f"{each.category}.{each.name}: expected {wanted}; got {got}")
        print(f"{len(cases)} cases, {time.monotonic() - begun:.1f} s")
        self.assertFalse(wrong, "\n" + "\n".join(wrong))

    def test_each_comes_to_what_its_case_says(self):
        self.compare(requests())

    def test_each_comes_to_the_same_byte_by_byte(self):
        self.compare([each for each in requests() if len(each.all_bytes) <= SPLIT_BYTES_MAX], BYTE_PAUSE_S)


class SlowRequests(unittest.TestCase):
    """Bytes that come one by one, for longer than the server waits."""

    PATIENCE_MS = 400

    def setUp(self):
        self.witness = Witness(str(self.PATIENCE_MS))
        self.addCleanup(self.witness.end)

    def slow(self, at_once, slowly):
        peer = socket.create_connection(("127.0.0.1", self.witness.port), timeout=30)
        with peer:
            peer.sendall(at_once)
            said = b""
            peer.settimeout(self.PATIENCE_MS / 1000 / 4)
            for i in range(400):
                try:
                    said += (more := peer.recv(65536))
                    if not more:
                        return said, i
                except TimeoutError:
                    if not said:
                        peer.sendall(slowly)
        self.fail("nobody ended the connection")

    def test_a_slow_head_is_given_up(self):
        said, _ = self.slow(b"GET /a HTTP/1.1\r\nHost: h\r\nA: ", b"b")
        self.assertTrue(said.startswith(b"HTTP/1.1 408 "), said)

    def test_a_slow_body_is_given_up(self):
        said, _ = self.slow(case.sized(b"1000", b""), b"b")
        self.assertTrue(said.startswith(b"HTTP/1.1 408 "), said)

    def test_slow_chunks_are_given_up(self):
        said, _ = self.slow(case.chunks(b""), b"1\r\nb\r\n")
        self.assertTrue(said.startswith(b"HTTP/1.1 408 "), said)

    def test_slow_trailers_are_given_up(self):
        said, _ = self.slow(case.chunks(b"0\r\n"), b"A: b\r\n")
        self.assertTrue(said.startswith(b"HTTP/1.1 408 "), said)


class HostileAnswers(unittest.TestCase):
    def test_each_comes_to_what_its_case_says(self):
        server = HostileServer(answers.CASES)
        self.addCleanup(server.close)
        wrong = []
        for each, (got, behind) in zip(answers.CASES, ask_witness(server.port, answers.CASES)):
            if got != each.expected:
                wrong.append(f"{each.name}: expected {each.expected}; got {got}")
            if behind != "answer 200 6:marker":
                wrong.append(f"{each.name}: the next request was given another answer than its own: {behind}")
        self.assertFalse(wrong, "\n" + "\n".join(wrong))


class TheCases(unittest.TestCase):
    def test_there_are_enough_and_no_two_bear_one_name(self):
        names = [f"{each.category}.{each.name}" for each in requests()]
        self.assertEqual(len(names), len(set(names)))
        self.assertGreaterEqual(len(names), 200)
        names = [each.name for each in answers.CASES]
        self.assertEqual(len(names), len(set(names)))
        self.assertGreaterEqual(len(names), 40)


if __name__ == "__main__":
    if not BUILDS:
        sys.exit("LEVITY_BUILD_DIR must name the build directory; ctest sets it")
    unittest.main()
