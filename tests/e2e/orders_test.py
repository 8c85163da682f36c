#!/usr/bin/env python3
"""The order service keeps its promises while payment is slow, inventory is dead, and any of the three is killed: every request is
answered in time, and in the end every acknowledged order has been charged once, and put aside once. And it ends, tells of itself,
reads its settings again and tries a new version as an operator expects."""

import concurrent.futures
import http.client
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

BUILDS = os.environ.get("LEVITY_BUILD_DIR", "")
SETTLED_WITHIN_S = 60
ORDER = json.dumps({"customer": "me", "items": [{"sku": "tea", "quantity": 2}]})

RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders, subset: stable}
      weight: 100
    - destination: {host: orders, subset: canary}
      weight: 0
"""


def is_plain():
    """Whether the services are built for speed, so that times mean something."""
    with open(os.path.join(BUILDS, "CMakeCache.txt"), encoding="utf-8") as cache:
        text = cache.read()
    return "LEVITY_SANITIZE:STRING=none" in text and "CMAKE_BUILD_TYPE:STRING=Debug" not in text


class Answer:
    def __init__(self, status, fields, body, took):
        self.status, self.fields, self.body, self.took = status, fields, body, took

    def json(self):
        return json.loads(self.body)


def ask(method, url, body=None, **fields):
    at = urllib.parse.urlsplit(url)
    wire = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
    begin = time.monotonic()
    try:
        wire.request(method, at.path, body, {name.replace("_", "-"): value for name, value in fields.items()})
        answer = wire.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode(), time.monotonic() - begin)
    finally:
        wire.close()


class Service:
    """A process that can be killed, and started again at the same place."""

    def __init__(self, case, program, folder, *words):
        self.case, self.program, self.folder, self.words = case, program, folder, list(words)
        self.listen = "127.0.0.1:0"
        self.log = os.path.join(folder, program + ".log")
        case.addCleanup(self.kill)
        self.start()

    def start(self):
        words = [os.path.join(BUILDS, self.program), "--listen", self.listen, "--data", os.path.join(self.folder, self.program)]
        with open(self.log, "w", encoding="utf-8") as into:
            # Python ignores SIGXFSZ, and so do they: a file that may not grow is an error of the write.
            self.process = subprocess.Popen(words + self.words, stderr=into, restore_signals=False)
        for _ in range(1000):
            found = re.search(r"(?<!operator is )listening at (http://(\S+))", self.said())
            if found:
                self.url, self.listen = found[1], found[2]
                operator = re.search(r"listened to at (http:\S+)", self.said())
                self.operator = operator[1] if operator else None
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.case.fail(f"{self.program} did not start: {self.said()}")

    def said(self):
        with open(self.log, encoding="utf-8") as text:
            return text.read()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def suffers(self, **fault):
        self.case.assertEqual(ask("POST", self.operator + "/fault", json.dumps(fault)).status, 200)


class Orders(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="levity-orders-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.acknowledged = []

    def start_all(self, *words):
        self.payment = Service(self, "orders_payment", self.folder, "--operate", "127.0.0.1:0")
        self.inventory = Service(self, "orders_inventory", self.folder, "--operate", "127.0.0.1:0")
        self.orders = Service(self, "orders", self.folder, "--payment", self.payment.url, "--inventory", self.inventory.url, *words)

    def stats(self):
        return ask("GET", self.orders.url + "/stats").json()

    def order(self, key=""):
        return ask("POST", self.orders.url + "/orders", ORDER, **({"Idempotency_Key": key} if key else {}))

    def place(self, count, at_once=1):
        """So many orders, all of which must be acknowledged."""
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            answers = list(pool.map(lambda _: self.order(), range(count)))
        for answer in answers:
            self.assertEqual(answer.status, 201, answer.body)
            self.acknowledged.append(answer.json()["id"])
        return answers

    def outstanding(self):
        return {name: one["outstanding"] for name, one in self.stats()["bookings"].items()}

    def wait_until_settled(self):
        give_up = time.monotonic() + SETTLED_WITHIN_S
        while time.monotonic() < give_up:
            if not any(self.outstanding().values()):
                return
            time.sleep(0.1)
        self.fail(f"not settled after {SETTLED_WITHIN_S} s: {self.stats()}")

    def check_bookings(self):
        """Each acknowledged order was charged once and put aside once, by the books of those who did it."""
        self.wait_until_settled()
        give_up = time.monotonic() + SETTLED_WITHIN_S  # after a restart what is owed is yet to be found
        for order in self.acknowledged:
            for url, what in ((f"{self.payment.url}/charges/{order}", "charges"),
                              (f"{self.inventory.url}/reservations/{order}", "reservations")):
                booked = ask("GET", url).json()[what]
                while not booked and time.monotonic() < give_up:
                    time.sleep(0.05)
                    booked = ask("GET", url).json()[what]
                self.assertEqual(len(booked), 1, f"{what} of {order}: {booked}")

    def test_a_slow_payment_is_not_waited_for_and_paid_later_once(self):
        self.start_all()
        self.place(20)
        self.payment.suffers(slow_ms=2000, for_ms=3000)
        before = self.stats()
        answers = self.place(100, at_once=4)
        failures = self.stats()["outside_failures"] - before["outside_failures"]
        for answer in answers:
            self.assertIn("payment", answer.fields["X-Levity-Degraded"] or "")
        if is_plain():
            took = sorted(answer.took for answer in answers)
            self.assertLess(took[len(took) // 2], 0.1, "half of them must not even have waited for a call")
            self.assertLess(failures, 20, "the breaker opens within ten calls")
        self.check_bookings()
        self.assertEqual(self.stats()["breakers"]["payment"]["state"], "closed")

    def test_a_dead_inventory_is_asked_little_and_settled_when_it_is_back(self):
        self.start_all()
        self.place(20)
        self.inventory.suffers(dead=True, for_ms=3000)
        self.place(200, at_once=4)
        self.assertGreater(self.outstanding()["inventory"], 0)
        calls = self.stats()["bookings"]["inventory"]
        self.assertLess(calls["later_calls"], 20, "a dead service gets a tenth more than the orders would bring, at most")
        if is_plain():
            self.assertLess(calls["calls"] - 20, 50, "and most of these are kept back")
        self.check_bookings()

    def test_whoever_is_killed_no_booking_is_lost_or_doubled(self):
        self.start_all()
        self.place(20, at_once=4)
        # Those that are answered and not booked are only in the orders' log when it is killed.
        self.payment.suffers(slow_ms=2000)
        self.inventory.suffers(dead=True)
        self.place(60, at_once=4)
        self.orders.kill()
        self.orders.start()
        self.place(20, at_once=4)
        # The others are killed in the middle of what they were told to suffer from, and begin well.
        self.payment.kill()
        self.place(20, at_once=4)
        self.inventory.kill()
        self.place(20, at_once=4)
        self.payment.start()
        self.inventory.start()
        self.orders.kill()
        self.orders.start()
        self.place(10, at_once=4)
        self.check_bookings()
        self.assertEqual(self.orders.end(), 0)

    def test_a_repeat_under_its_key_books_nothing_again_and_says_what_is_open(self):
        self.start_all()
        self.place(10)
        self.inventory.suffers(refuse=True)
        first = self.order(key="one")
        self.assertEqual((first.status, first.fields["X-Levity-Degraded"]), (201, "inventory"))
        again = self.order(key="one")
        self.assertEqual((again.status, again.fields["X-Levity-Degraded"]), (200, "inventory"))
        self.assertEqual(again.body, first.body)
        self.inventory.suffers()
        self.acknowledged.append(first.json()["id"])
        self.check_bookings()
        self.assertIsNone(self.order(key="one").fields["X-Levity-Degraded"])

    def test_it_ends_in_order_and_tells_how_it_is(self):
        self.start_all()
        for probe in ("live", "ready", "startup"):
            self.assertEqual(ask("GET", f"{self.orders.url}/healthz/{probe}").status, 200)
        self.assertEqual(ask("GET", self.orders.url + "/healthz").json()["status"], "ok")
        answer = ask("POST", self.orders.url + "/orders", ORDER, X_Request_Id="r-7")
        self.assertEqual(answer.fields["X-Request-Id"], "r-7")
        self.acknowledged.append(answer.json()["id"])
        # A charge that takes long, in a service that is told to end: what was begun is answered.
        self.payment.suffers(slow_ms=300)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(self.order)
            time.sleep(0.02)
            self.assertEqual(self.orders.end(), 0)
            self.assertIn(under_way.result().status, (201, 503))
        self.payment.suffers()
        self.orders.start()
        self.check_bookings()

    def test_settings_and_canary_are_read_again(self):
        rules, settings = os.path.join(self.folder, "rules.yaml"), os.path.join(self.folder, "orders.toml")
        with open(rules, "w", encoding="utf-8") as file:
            file.write(RULES)
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f'canary = "{rules}"\nlog_level = "warn"\n')
        self.start_all("--config", settings)
        self.place(1)
        one = self.orders.url + "/orders/" + self.acknowledged[0]
        self.assertEqual(ask("GET", one).fields["X-Levity-Version"], "stable")
        self.assertNotIn("pieces", ask("GET", one).json())
        self.assertEqual(ask("GET", one, X_Canary="true").json()["pieces"], 2)
        with open(rules, "w", encoding="utf-8") as file:
            file.write(RULES.replace("subset: stable", "subset: other").replace("subset: canary", "subset: stable")
                       .replace("subset: other", "subset: canary"))
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f'canary = "{rules}"\nlog_level = "info"\nlisten = "127.0.0.1:1"\n')
        self.orders.process.send_signal(signal.SIGHUP)
        for _ in range(500):
            if ask("GET", one).fields["X-Levity-Version"] == "canary":
                break
            time.sleep(0.02)
        self.assertEqual(ask("GET", one).json()["pieces"], 2)
        # Nothing that is wrong with a file ends a service that runs.
        with open(settings, "w", encoding="utf-8") as file:
            file.write("nonsense = 1\n")
        self.orders.process.send_signal(signal.SIGHUP)
        for _ in range(500):
            if "nonsense" in self.orders.said():
                break
            time.sleep(0.02)
        self.assertIn("nonsense", self.orders.said())
        self.assertEqual(ask("GET", one).status, 200)
        self.assertEqual(self.orders.end(), 0)

    def test_bad_settings_are_refused_with_a_sentence(self):
        for words, part in ((["--payment", "nowhere"], "payment"), (["--cut-damages"], "cut_damage"),
                            (["--compact-at", "much"], "compact_at"), (["--canary", "/nowhere"], "/nowhere")):
            with self.subTest(words=words):
                ran = subprocess.run([os.path.join(BUILDS, "orders"), "--data", self.folder, *words], capture_output=True,
                                     text=True, timeout=60)
                self.assertEqual(ran.returncode, 2, ran.stderr)
                self.assertIn(part, ran.stderr)

    @unittest.skipUnless(shutil.which("redis-server"), "there is no redis-server")
    def test_when_the_disk_fails_orders_are_read_from_the_copy_beside(self):
        socket = os.path.join(self.folder, "redis.sock")
        redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no",
                                  "--dir", self.folder], stdout=subprocess.DEVNULL)
        self.addCleanup(redis.wait)
        self.addCleanup(redis.kill)
        for _ in range(500):
            if os.path.exists(socket):
                break
            time.sleep(0.02)
        settings = os.path.join(self.folder, "orders.toml")
        with open(settings, "w", encoding="utf-8") as file:
            file.write('[cache]\nttl = "50ms"\n')
        self.start_all("--redis", "unix://" + socket, "--config", settings)
        self.place(3)
        for _ in range(500):
            if self.stats()["redis"]["copied"] == 3:
                break
            time.sleep(0.02)
        one = self.orders.url + "/orders/" + self.acknowledged[0]
        before = ask("GET", one)
        self.assertIsNone(before.fields["X-Levity-Degraded"])
        # Files end at their first byte: to the service that is a disk that fails.
        resource.prlimit(self.orders.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        self.assertEqual(ask("PATCH", one, json.dumps({"status": "paid"})).status, 503)
        self.assertEqual(ask("GET", self.orders.url + "/healthz/ready").status, 503)
        time.sleep(0.1)
        after = ask("GET", one)
        self.assertEqual((after.status, after.body), (200, before.body), "the change may be lost, so nobody is shown it")
        self.assertRegex(after.fields["X-Levity-Degraded"], "^redis; age=")
        redis.kill()
        redis.wait()
        without = ask("GET", one)
        self.assertEqual((without.status, without.body), (200, before.body))
        self.assertRegex(without.fields["X-Levity-Degraded"], "^stale; age=")


if __name__ == "__main__":
    if not BUILDS:
        sys.exit("LEVITY_BUILD_DIR must name the build directory; ctest sets it")
    unittest.main()
