#!/usr/bin/env python3
"""The order service is driven while its workers lose their slots hundreds of times a second, thousands with more requests, at
moments drawn from a seed: every request is answered, every order that was acknowledged is there, and slots were taken indeed."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILDS = os.environ.get("LEVITY_BUILD_DIR", "")
SECONDS = int(os.environ.get("LEVITY_TAKEN_SECONDS", "6"))
BUSY = 3  # what drive-orders says of a generator that ran late itself, while all orders are there and no connection broke


def is_plain():
    """Whether the service is built for speed; with sanitizers it keeps up with a few hundred requests a second."""
    with open(os.path.join(BUILDS, "CMakeCache.txt"), encoding="utf-8") as cache:
        text = cache.read()
    return "LEVITY_SANITIZE:STRING=none" in text and "CMAKE_BUILD_TYPE:STRING=Debug" not in text


def rate():
    """The more there is to do, the more there is to be taken."""
    return os.environ.get("LEVITY_TAKEN_RATE") or ("2000" if is_plain() else "400")


class TakenService(unittest.TestCase):
    def serve(self, folder, seed):
        log = os.path.join(folder, "log")
        with open(log, "w", encoding="utf-8") as into:
            service = subprocess.Popen([os.path.join(BUILDS, "orders_taken"), "--listen", "127.0.0.1:0", "--compact-at", "65536",
                                        "--data", os.path.join(folder, "orders")],
                                       stderr=into, env={**os.environ, "LEVITY_TAKEN": str(seed)})
        for _ in range(400):
            with open(log, encoding="utf-8") as said:
                found = re.search(r"listening at (http:\S+)", said.read())
            if found:
                return service, log, found[1]
            time.sleep(0.05)
        service.kill()
        self.fail("the service did not start")

    def test_no_order_is_lost_and_no_request_unanswered(self):
        for seed in (1, 2):
            with self.subTest(seed=seed), tempfile.TemporaryDirectory(prefix="levity-taken-") as folder:
                service, log, url = self.serve(folder, seed)
                try:
                    driven = subprocess.run([os.path.join(BUILDS, "levity"), "drive-orders", url, "--rate", rate(),
                                             "--duration", f"{SECONDS}s", "--p99-limit", "10s"],
                                            capture_output=True, text=True, timeout=200)
                    self.assertIn(driven.returncode, (0, BUSY), driven.stdout + driven.stderr)
                finally:
                    service.send_signal(signal.SIGTERM)
                    ended = service.wait(timeout=60)
                with open(log, encoding="utf-8") as said:
                    text = said.read()
                self.assertEqual(ended, 0, text)
                taken = int(re.search(r"orders_taken: (\d+) slots were taken", text)[1])
                print(f"seed {seed}: {taken} slots were taken, {taken / SECONDS:.0f} a second")
                self.assertGreater(taken / SECONDS, 100, text)


if __name__ == "__main__":
    if not BUILDS:
        sys.exit("LEVITY_BUILD_DIR must name the build directory; ctest sets it")
    unittest.main()
