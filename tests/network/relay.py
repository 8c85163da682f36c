"""What `tc ... netem` does, for a kernel without it: packets between two network namespaces, over a TUN device in each, which a
thread of this process holds back, loses, or lets out at no more than a rate. It adds some milliseconds of its own."""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
TCP, LINK_HEADER = 6, 14


def device(name):
    """The descriptor of a new device of this namespace."""
    made = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(made, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return made


def run(*words):
    subprocess.run(words, check=True)


class Relay(threading.Thread):
    """Between 10.0.0.1 here and 10.0.0.2 in the namespace of process `peer`; begins when it is made, until stop()."""

    def __init__(self, peer, latency_us, jitter_us, lost_ppm, bytes_per_second, parted_from_s, parted_s):
        super().__init__(daemon=True)
        self.latency, self.jitter, self.lost, self.rate = latency_us / 1e6, jitter_us / 1e6, lost_ppm / 1e6, bytes_per_second
        self.parted = (parted_from_s, parted_from_s + parted_s)
        self.began = None  # with the first packet
        self.stops, self.stopper = os.pipe()
        self.devices = [device("near"), device("far")]
        in_peer = ["nsenter", "-t", str(peer), "-n"]
        run("ip", "link", "set", "far", "netns", str(peer))
        # The congestion control of Linux, unless somebody has another one: a route may say so, a namespace may not.
        for words, name, at in (([], "near", "10.0.0.1"), (in_peer, "far", "10.0.0.2")):
            run(*words, "ip", "addr", "add", f"{at}/24", "dev", name)
            run(*words, "ip", "link", "set", name, "up", "txqueuelen", "10000")
            run(*words, "ip", "route", "replace", "10.0.0.0/24", "dev", name, "src", at, "congctl", "cubic")
        self.start()

    def stop(self):
        os.close(self.stopper)
        self.join()
        for each in [*self.devices, self.stops]:
            os.close(each)

    def leaves_at(self, now, packet, out_at):
        """When it is on the wire; None: never."""
        if packet[0] >> 4 != 4 or packet[9] != TCP:
            return None
        self.began = self.began or now
        if self.parted[0] <= now - self.began < self.parted[1] or random.random() < self.lost:
            return None
        return max(now, out_at) + (len(packet) + LINK_HEADER) / self.rate if self.rate else now

    def run(self):
        waiting, serial, out_at = [], 0, [0.0, 0.0]
        while True:
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, _, to, packet = heapq.heappop(waiting)
                os.write(self.devices[to], packet)
            readable = select.select([*self.devices, self.stops], [], [], max(waiting[0][0] - now, 0) if waiting else None)[0]
            if self.stops in readable:
                return
            for side in (0, 1):
                if self.devices[side] not in readable:
                    continue
                while True:
                    try:
                        packet = os.read(self.devices[side], 65536)
                    except BlockingIOError:
                        break
                    left = self.leaves_at(time.monotonic(), packet, out_at[side])
                    if left is None:
                        continue
                    out_at[side] = left
                    serial += 1
                    heapq.heappush(waiting, (left + self.latency + random.uniform(0, self.jitter), serial, 1 - side, packet))
