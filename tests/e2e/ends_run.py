#!/usr/bin/env python3
"""tests/e2e/ends_run.py BUILD_DIR [--kills N] [--terms N] [--customers N] [--json FILE]

The order service with payment and inventory, as three processes, under load, while they end.

  kill   each round one of the three is killed with SIGKILL at a random moment and started again on its data. At the end every
         acknowledged order is there once, charged once, put aside once.
  term   each round the order service is told to end with SIGTERM and, when it has, started again. No request fails: customers
         come by a balancer, which asks /healthz/ready twenty times a second and opens no connection where the answer is no.

A customer orders, reads what it has ordered, over a connection that stays, and asks again under the same Idempotency-Key for what
was not answered. A request counts as failed when it was sent and not answered with 2xx. Exit: 0 all is well, 2 it is not.
"""

import argparse
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

START_SECONDS = 20
SETTLE_SECONDS = 60
BALANCER_SECONDS = 0.05


class Wrong(Exception):
    """What must not be."""


class Process:
    """One of the three, on its data and its port."""

    def __init__(self, program, name, folder, words):
        self.program, self.name, self.words = program, name, words
        self.data, self.log = os.path.join(folder, name), os.path.join(folder, name + ".log")
        self.port, self.running = 0, None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        with open(self.log, "w", encoding="utf-8") as into:
            self.running = subprocess.Popen([self.program, "--listen", f"127.0.0.1:{self.port}", "--data", self.data, *self.words],
                                            stdout=into, stderr=into)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.running.poll() is None:
            found = re.search(r"\blistening at http://127\.0\.0\.1:(\d+)", self.said())
            if found:
                self.port = int(found[1])
                return
            time.sleep(0.01)
        raise Wrong(f"{self.name} did not start: {self.said()}")

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def end(self, by):
        self.running.send_signal(by)
        return self.running.wait(timeout=60)


class Balancer:
    """Knows whether new connections may go to the service."""

    def __init__(self, service):
        self.service, self.ready, self.over = service, False, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over:
            try:
                asked = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=2)
                asked.request("GET", "/healthz/ready")
                self.ready = asked.getresponse().status == 200
                asked.close()
            except (OSError, http.client.HTTPException):
                self.ready = False
            time.sleep(BALANCER_SECONDS)

    def stop(self):
        self.over = True
        self.thread.join()


class Customer(threading.Thread):
    """Orders and reads, one after the other."""

    def __init__(self, number, service, balancer):
        super().__init__()
        self.chance = random.Random(number)
        self.number, self.service, self.balancer = number, service, balancer
        self.connection, self.over = None, False
        self.acknowledged, self.keys, self.failed, self.answered, self.degraded, self.notes = {}, 0, 0, 0, 0, []

    def connect(self):
        while not (self.balancer.ready or self.over):
            time.sleep(0.005)
        if self.over:
            return None
        made = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=15)
        try:
            made.connect()
        except OSError:  # nothing was asked yet
            time.sleep(0.01)
            return None
        return made

    def ask(self, method, path, body=None, key=None):
        """The answer's status and body; None: none came, or it could not be asked."""
        if self.connection is None:
            self.connection = self.connect()
            if self.connection is None:
                return None
        headers = {"Idempotency-Key": key} if key else {}
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as broken:
            self.fail(f"{method} {path}: {type(broken).__name__} {broken}")
            self.connection.close()
            self.connection = None
            return None
        if answer.will_close:
            self.connection.close()
            self.connection = None
        if answer.status // 100 != 2:
            self.fail(f"{method} {path}: {answer.status} {text[:200]!r}")
            return None
        self.answered += 1
        self.degraded += answer.getheader("X-Levity-Degraded") is not None
        return answer.status, text

    def fail(self, what):
        self.failed += 1
        if len(self.notes) < 5:
            self.notes.append(what)

    def run(self):
        while not self.over:
            key = f"c{self.number}-{self.keys}"
            body = json.dumps({"customer": f"customer-{self.number}", "items": [{"sku": "tea", "quantity": 1}]})
            answer = None
            while answer is None and not self.over:
                answer = self.ask("POST", "/orders", body, key)
            if answer is None:
                return
            made = json.loads(answer[1])["id"]
            self.acknowledged[key] = made
            self.keys += 1
            for _ in range(3):
                read = self.ask("GET", "/orders/" + self.chance.choice(list(self.acknowledged.values())[-50:]))
                if read is None and self.over:
                    return


class Shop:
    """The three processes and their customers."""

    def __init__(self, builds, folder, customers):
        operate = ["--operate", "127.0.0.1:0"]
        self.payment = Process(os.path.join(builds, "orders_payment"), "payment", folder, operate)
        self.inventory = Process(os.path.join(builds, "orders_inventory"), "inventory", folder, operate)
        self.payment.start()
        self.inventory.start()
        self.orders = Process(os.path.join(builds, "orders"), "orders", folder,
                              ["--payment", self.payment.url, "--inventory", self.inventory.url])
        self.orders.start()
        self.all = (self.orders, self.payment, self.inventory)
        self.balancer = Balancer(self.orders)
        self.customers = [Customer(number, self.orders, self.balancer) for number in range(customers)]
        for each in self.customers:
            each.start()

    def stop_customers(self):
        for each in self.customers:
            each.over = True
        for each in self.customers:
            each.join()

    def end(self):
        self.stop_customers()
        self.balancer.stop()
        for each in self.all:
            if each.running is not None and each.running.poll() is None:
                each.running.kill()
                each.running.wait()

    def get(self, of, path):
        asked = http.client.HTTPConnection("127.0.0.1", of.port, timeout=20)
        try:
            asked.request("GET", path)
            answer = asked.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            asked.close()

    def bookings(self, of, path, what):
        status, body = self.get(of, path)
        return sum(1 for each in body[what] if not each.get("released")) if status == 200 else 0

    def judge(self):
        """Every acknowledged order: there, once for its key, charged once, put aside once."""
        wrong, seen = [], 0
        for customer in self.customers:
            listed, after = [], ""
            while after is not None:
                path = f"/orders?customer=customer-{customer.number}" + (f"&after={after}" if after else "")
                _, page = self.get(self.orders, path)
                listed += [each["id"] for each in page["orders"]]
                after = page.get("next")
            ids = set(customer.acknowledged.values())
            seen += len(ids)
            if len(ids) != len(customer.acknowledged):
                wrong.append(f"customer {customer.number}: {len(customer.acknowledged)} keys have {len(ids)} orders")
            for lost in ids.difference(listed):
                wrong.append(f"{lost} was acknowledged and is not there")
            # One that was under way when all ended may be there without its answer having arrived.
            if len(set(listed) - ids) > 1:
                wrong.append(f"customer {customer.number}: {len(set(listed) - ids)} orders that nobody was told of")
        until = time.monotonic() + SETTLE_SECONDS
        waiting = [each for customer in self.customers for each in customer.acknowledged.values()]
        while waiting:
            left = []
            for each in waiting:
                charges = self.bookings(self.payment, "/charges/" + each, "charges")
                reserved = self.bookings(self.inventory, "/reservations/" + each, "reservations")
                if charges > 1 or reserved > 1:
                    wrong.append(f"{each} was charged {charges} times and put aside {reserved} times")
                elif charges == 0 or reserved == 0:
                    left.append(each)
            waiting = left
            if waiting and time.monotonic() > until:
                wrong += [f"{each} was never charged, or never put aside" for each in waiting]
                break
            if waiting:
                time.sleep(0.2)
        if seen == 0:
            wrong.append("nothing was acknowledged, so nothing was shown")
        return seen, wrong


def totals(shop):
    return {"answered": sum(each.answered for each in shop.customers), "failed": sum(each.failed for each in shop.customers),
            "degraded": sum(each.degraded for each in shop.customers),
            "notes": [note for each in shop.customers for note in each.notes][:10]}


def killing(shop, rounds, chance):
    for number in range(rounds):
        victim = shop.all[number % 3]
        time.sleep(0.3 + chance.random())
        victim.end(signal.SIGKILL)
        time.sleep(chance.random() * 0.3)
        victim.start()
    time.sleep(1)


def ending(shop, rounds, chance):
    slowest = 0
    for _ in range(rounds):
        time.sleep(0.3 + chance.random())
        began = time.monotonic()
        code = shop.orders.end(signal.SIGTERM)
        slowest = max(slowest, time.monotonic() - began)
        if code != 0:
            raise Wrong(f"SIGTERM ended the service with code {code}: {shop.orders.said()}")
        shop.orders.start()
    time.sleep(0.5)
    return slowest


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds")
    parser.add_argument("--kills", type=int, default=60, help="kills, of the three in turn")
    parser.add_argument("--terms", type=int, default=20)
    parser.add_argument("--customers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--json")
    wanted = parser.parse_args()
    chance = random.Random(wanted.seed)
    facts, wrong = {"seed": wanted.seed}, []
    for what, rounds in (("term", wanted.terms), ("kill", wanted.kills)):
        if rounds == 0:
            continue
        with tempfile.TemporaryDirectory(prefix="levity-ends-") as folder:
            shop = Shop(wanted.builds, folder, wanted.customers)
            try:
                slowest = ending(shop, rounds, chance) if what == "term" else killing(shop, rounds, chance)
                shop.stop_customers()
                count, bad = shop.judge()
            finally:
                shop.end()
            facts[what] = {"rounds": rounds, "acknowledged": count, "wrong": bad[:20], **totals(shop)}
            if what == "term":
                facts[what]["slowest_end_s"] = slowest
                if facts[what]["failed"]:
                    bad.append(f"{facts[what]['failed']} requests failed: {facts[what]['notes']}")
            wrong += [f"{what}: {each}" for each in bad[:20]]
            print(f"{what}: {rounds} rounds, {facts[what]['answered']} answers of which {facts[what]['degraded']} degraded, "
                  f"{facts[what]['failed']} requests failed, {count} orders acknowledged, {len(bad)} things wrong", flush=True)
    if wanted.json:
        with open(wanted.json, "w", encoding="utf-8") as into:
            json.dump(facts, into, indent=1)
    for each in wrong:
        print("ends_run: " + each, file=sys.stderr)
    return 2 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Wrong as what:
        print(f"ends_run: {what}", file=sys.stderr)
        sys.exit(2)
