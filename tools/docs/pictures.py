"""The pictures of docs/pictures: the rooms, from src/rooms.txt; the way of one request; the states of a task; a task that does
not wait.

`pictures.py` writes them, `pictures.py --check` says which are not as they would be written.
"""

import re
import sys
import textwrap
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "docs/pictures"

STYLE = """
text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #22262b; }
.name { font-weight: 600; font-size: 15px; } .dim { fill: #6a7078; } .small { font-size: 11.5px; }
.code { font-family: monospace; }
.title { font-weight: 600; font-size: 17px; } .mid { text-anchor: middle; } .end { text-anchor: end; }
.wall { fill: #fcfcfa; stroke: #b9bcb4; } .room { fill: #f3f3ee; stroke: #d5d6cf; } .annexe { stroke-dasharray: 4 3; }
.roof { fill: #ece6dc; stroke: #b9bcb4; } .dot { fill: #0b5a8a; } .no { fill: #e0e1da; }
.ground { stroke: #8a8f86; stroke-width: 2; }
.way { fill: none; stroke: #0b5a8a; stroke-width: 1.6; } .back { fill: none; stroke: #8a4b08; stroke-width: 1.6; }
.thin { fill: none; stroke: #8d949c; stroke-width: 1.2; stroke-dasharray: 4 3; }
.tip { fill: #0b5a8a; } .tipback { fill: #8a4b08; } .tipthin { fill: #8d949c; } .paper { fill: #fcfcfa; }
.live { fill: #e3eff7; stroke: #7aa9c7; } .still { fill: #f3f3ee; stroke: #b9bcb4; } .hold { fill: #f8ecdc; stroke: #d0a46c; }
@media (prefers-color-scheme: dark) {
  text { fill: #d9dce0; } .dim { fill: #9aa1a9; } .paper { fill: #16181b; } .wall { fill: #16181b; stroke: #4a5057; }
  .room { fill: #1f2226; stroke: #33383e; } .roof { fill: #2a261f; stroke: #4a5057; } .dot { fill: #7cbcea; } .no { fill: #2d3136; }
  .way { stroke: #7cbcea; } .tip { fill: #7cbcea; } .back { stroke: #e0a458; } .tipback { fill: #e0a458; }
  .live { fill: #18303f; stroke: #3f7698; } .still { fill: #1f2226; stroke: #4a5057; } .hold { fill: #37291a; stroke: #8a6534; }
}
"""


class Drawing:
    def __init__(self, width, height, title, made_of):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<!-- Made by tools/docs/pictures.py{made_of}; ./dev docs pictures draws it anew. -->",
            f"<style>{STYLE}</style>",
            '<defs>',
            *(f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
              f'orient="auto-start-reverse"><path class="{name}" d="M0,0 L8,4 L0,8 z"/></marker>'
              for name in ("tip", "tipback", "tipthin")),
            "</defs>",
            f'<rect class="paper" width="{width}" height="{height}"/>',
        ]

    def text(self, x, y, words, kind=""):
        self.parts.append(f'<text x="{x}" y="{y}" class="{kind}">{escape(words)}</text>')

    def lines(self, x, y, words, kind="", step=17):
        for number, line in enumerate(words.split("\n")):
            self.text(x, y + number * step, line, kind)

    def box(self, x, y, width, height, kind, corner=6):
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{corner}" class="{kind}"/>')

    def arrow(self, path, kind="way", both=False):
        tip = {"way": "tip", "back": "tipback", "thin": "tipthin"}[kind]
        begin = f' marker-start="url(#{tip})"' if both else ""
        self.parts.append(f'<path class="{kind}" d="{path}" marker-end="url(#{tip})"{begin}/>')

    def done(self):
        return "\n".join([*self.parts, "</svg>", ""])


def read_rooms(root=ROOT):
    """(name, words, uses, why) of each room that is there, in order."""
    rooms = []
    for line in (root / "src/rooms.txt").read_text().splitlines():
        found = re.match(r"([a-z_]+)(?: \[([a-z ]+)\])?: uses([a-z_ ]*)#\s*(.*)", line)
        if found is None:
            continue
        words = (found[2] or "").split()
        if "planned" not in words:
            rooms.append((found[1], words, found[3].split(), found[4]))
    return rooms


def house(root=ROOT):
    rooms = read_rooms(root)
    inside = [room for room in rooms if "outside" not in room[1]]
    outside = [room for room in rooms if "outside" in room[1]]
    names = [room[0] for room in inside]
    left, floor, cell, roof = 30, 44, 22, 150
    dots = 640
    width = dots + cell * len(names) + 60
    height = roof + floor * len(inside) + 110
    made = Drawing(width, height, "The house of rooms", " from src/rooms.txt")
    right = width - left
    made.parts.append(f'<path class="roof" d="M{left - 14},{roof} L{width / 2},18 L{right + 14},{roof} z"/>')
    made.text(width / 2, 78, "levity", "title mid")
    made.text(width / 2, 98, "a room stands on those below it,", "dim mid")
    made.text(width / 2, 115, "and uses of them those with a dot", "dim mid")
    made.box(left, roof, right - left, floor * len(inside), "wall", 0)
    for number, (name, words, uses, why) in enumerate(reversed(inside)):
        y = roof + number * floor
        optional = "optional" in words
        made.box(left + 6, y + 4, dots - left - 18, floor - 8, "room annexe" if optional else "room")
        made.text(left + 18, y + 27, name, "name")
        notes = [note for note, is_so in (("optional", optional), ("may start threads", "threads" in words)) if is_so]
        why_lines = textwrap.wrap(why, 66)
        for line_number, line in enumerate(why_lines[:2]):
            made.text(left + 110, y + (27 if len(why_lines) == 1 else 20) + 15 * line_number, line, "small")
        made.text(dots - 20, y + 20 if len(why_lines) > 1 else y + 27, ", ".join(notes), "dim small end")
        own = names.index(name)
        for column in range(own):
            kind = "dot" if names[column] in uses else "no"
            x = dots + column * cell + cell / 2
            made.parts.append(f'<circle cx="{x:g}" cy="{y + floor / 2:g}" r="{5 if kind == "dot" else 2.5}" class="{kind}">'
                              f"<title>{name} {'uses' if kind == 'dot' else 'does not use'} {names[column]}</title></circle>")
        x, mark = dots + own * cell + cell / 2, y + floor / 2
        made.parts.append(f'<text transform="translate({x - 5:g},{mark + 4:g}) rotate(-35)" class="small dim">{name}</text>')
    ground = roof + floor * len(inside)
    made.parts.append(f'<path class="ground" d="M8,{ground} H{width - 8}"/>')
    made.text(left, ground + 24, "outside, users of public headers like any other", "dim")
    step = (right - left) / len(outside)
    for number, (name, _, _, why) in enumerate(outside):
        made.box(left + number * step, ground + 36, step - 10, 52, "room")
        made.text(left + number * step + 12, ground + 56, name, "name")
        short = textwrap.shorten(why, int((step - 20) / 5.9), placeholder=" ...")
        made.text(left + number * step + 12, ground + 76, short, "small dim")
    return made.done()


def request():
    """Up on the left, down on the right; the height is the room."""
    floors = ["kernel", "reactor", "sched", "io", "http", "handler"]
    height, step = 560, 78
    width = 900
    made = Drawing(width, height, "The way of one request", "")
    made.text(24, 34, "The way of one request", "title")

    def y_of(room):
        return height - 70 - floors.index(room) * step

    for room in floors:
        y = y_of(room)
        made.parts.append(f'<path class="thin" d="M92,{y + 30} H{width - 20}"/>')
        made.text(24, y + 12, room, "name")
    steps = [
        ("kernel", 105, "readable", "live"),
        ("reactor", 125, "epoll_wait: the batch\ngoes to the worker's deque", "live"),
        ("sched", 150, "a worker takes the newest,\nwakes one neighbour", "live"),
        ("io", 175, "read() into a pooled buffer;\nthe result is a view of it", "live"),
        ("http", 200, "parsed into views of that\nbuffer; limits decide", "live"),
        ("handler", 330, "decides under a short lock,\nadds to the log's batch, waits", "live"),
        ("http", 560, "head and body,\ntwo pieces", "live"),
        ("io", 585, "written inline while\nthe socket takes them", "live"),
        ("kernel", 640, "sent", "live"),
    ]
    places = []
    for room, x, words, kind in steps:
        wide = 8 + max(len(line) for line in words.split("\n")) * 7
        y = y_of(room) - 18
        tall = 22 + 17 * words.count("\n")
        made.box(x, y, wide, tall + 4, kind)
        made.lines(x + 8, y + 17, words, "small")
        places.append((x, y, wide, tall + 4))
    for (x, y, wide, tall), (nx, ny, nwide, ntall) in zip(places[:5], places[1:6]):
        if ny < y and nx + nwide / 2 < 330:
            made.arrow(f"M{x + 46},{y} V{ny + ntall + 3}")
        else:
            made.arrow(f"M{x + wide},{y + tall / 2:g} H{nx + 80} V{ny + ntall + 3}")
    x, y, wide, tall = places[5]
    ring = (620, y_of("handler") - 18)
    made.box(ring[0], ring[1], 250, 43, "hold")
    made.lines(ring[0] + 8, ring[1] + 17, "ring thread: one write, one fdatasync for\nall orders that came meanwhile", "small")
    made.arrow(f"M{x + wide},{y + 12} H{ring[0] - 4}", "back")
    made.arrow(f"M{ring[0]},{y + 32} H{x + wide + 4}", "back")
    for (x, y, wide, tall), (nx, ny, nwide, ntall) in zip(places[5:], places[6:]):
        if x < 400:
            made.arrow(f"M{x + 120},{y + tall} V{ny + 20} H{nx - 4}")
        else:
            made.arrow(f"M{nx + 24},{y + tall} V{ny - 4}")
    made.box(24, height - 26, 14, 14, "live", 3)
    made.text(44, height - 14, "a worker: one task, one stack of awaits", "dim small")
    made.box(300, height - 26, 14, 14, "hold", 3)
    made.text(320, height - 14, "another thread, which runs no user code", "dim small")
    made.text(560, height - 14, "a request that comes in one read is parsed where it lies", "dim small")
    return made.done()


def states():
    width, height = 900, 490
    made = Drawing(width, height, "The states of a task, and who moves them", "")
    made.text(24, 34, "The states of a task, and who moves them", "title")

    def state(x, y, name, words, kind, wide=190, tall=70):
        made.box(x, y, wide, tall, kind)
        made.text(x + wide / 2, y + 26, name, "name mid")
        made.lines(x + wide / 2, y + 45, words, "small dim mid", 15)

    state(30, 90, "fresh", "a frame in a queue;\nno record of its own", "still")
    state(355, 90, "running", "a worker is in its leaf", "live")
    state(680, 90, "ended", "its scope counts it", "still")
    state(355, 290, "parked", "leaf and wait stand still,\na reason is known", "still")
    state(680, 290, "held", "somebody looks at the wait", "hold")
    state(30, 290, "ready", "in a queue where any\nworker may take it", "still")
    state(680, 190, "notified", "its wake-up is already there", "live", 190, 62)
    made.arrow("M220,115 H351")
    made.lines(285, 84, "a worker takes it,\nor a thief", "small mid", 14)
    made.arrow("M545,115 H676")
    made.text(610, 106, "co_return, throw", "small mid")
    made.arrow("M410,160 V286")
    made.text(418, 224, "commit_wait()", "small code")
    made.lines(418, 240, "the task, after it has\npublished its waiter", "small dim", 14)
    made.arrow("M366,160 C340,225 270,262 200,286", "thin")
    made.lines(292, 262, "yield(), or its\nbudget is used up", "small", 14)
    made.arrow("M355,325 H224")
    made.text(288, 316, "wake()", "small code mid")
    made.lines(288, 378, "whoever took the waiter\nout of its source: a socket's\nevent, a timer, an unlock,\n"
               "a sender, a canceller", "small dim mid", 15)
    made.arrow("M125,290 C125,220 250,150 351,140")
    made.lines(112, 205, "a worker\ntakes it", "small", 14)
    made.arrow("M545,142 C600,150 640,180 676,205", "way")
    made.text(640, 172, "wake()", "small code")
    made.arrow("M676,235 C610,255 545,215 525,164", "way")
    made.lines(572, 262, "commit_wait() finds it:\nthe task goes on", "small", 14)
    made.arrow("M549,312 H676", "back")
    made.text(612, 305, "hold()", "small code mid")
    made.arrow("M680,340 H549", "back")
    made.lines(612, 378, "lets go, and carries out\na wake-up that came", "small dim mid", 14)
    made.lines(790, 378, "a canceller, or the dump;\nthe task stands still", "small dim mid", 15)
    made.lines(24, 460, "One word a task: wake() adds one to the phase, commit_wait() takes one away (parked is -1). "
               "Resuming writes nothing.\nA cancellation sets a bit in the same word; the task's wait ends, and the task "
               "ends itself.", "small dim", 16)
    return made.done()


def stuck():
    width, height = 900, 430
    made = Drawing(width, height, "What becomes of a worker whose task does not wait", "")
    made.text(24, 34, "A task that computes or blocks keeps its thread, and nothing else", "title")
    left, scale = 130, 26  # a millisecond is so wide

    def at(ms):
        return left + ms * scale

    def stretch(begin, end, y, kind, words):
        made.box(at(begin), y, (end - begin) * scale, 46, kind, 4)
        made.lines(at(begin) + 8, y + 19, words, "small", 15)

    for ms in range(0, 28, 5):
        made.text(at(ms), 66, f"{ms} ms", "small dim mid")
        made.parts.append(f'<path class="thin" d="M{at(ms)},74 V372"/>')
    made.lines(24, 112, "worker\nthread 1", "name", 19)
    stretch(0, 1.6, 96, "live", "tasks")
    stretch(1.6, 24, 96, "hold", "the task that does not wait: may spawn, send, log,\n"
            "throw, end; its thread is its own")
    stretch(24, 28.4, 96, "still", "a spare, until it\nis needed")
    made.lines(24, 222, "watchdog", "name", 19)
    for ms, words in ((2, "a look: that task"), (12, "the same task:\nsuspected"), (13.2, ""),
                      (14.4, "its thread has used 1 ms,\nor slept: stuck")):
        made.parts.append(f'<circle cx="{at(ms)}" cy="217" r="5" class="dot"/>')
        made.lines(at(ms) + (8 if ms in (2, 14.4) else -96), 212 if ms != 12 else 206, words, "small", 15)
    made.lines(24, 322, "worker\nthread 2", "name", 19)
    stretch(0, 14.6, 306, "still", "a spare, asleep")
    stretch(14.6, 28.4, 306, "live", "the slot, its reactor and timers, all queued tasks,\n"
            "and what the stuck task spawns and wakes")
    made.arrow(f"M{at(14.4)},226 V302")
    made.lines(at(14.4) + 10, 252, "a doubt, a barrier on all threads, one exchange:\nthe slot is the spare's", "small", 15)
    made.arrow(f"M{at(14.4)},208 V146", "back")
    made.arrow(f"M{at(24)},146 V302", "thin")
    made.lines(at(24) + 6, 190, "its next look finds that\nthe slot is gone", "small", 15)
    made.lines(24, 396, "A thread that has been given no processor is left alone: another one would add to the crowd. After 100 ms "
               "the task is told of, with\nwhat keeps it and where it stands. With a call declared by lv::blocking() the spare "
               "comes after 0.2 ms.",
               "small dim", 16)
    return made.done()


PICTURES = {"rooms.svg": house, "request.svg": request, "task.svg": states, "stuck.svg": stuck}


def main():
    old = [name for name, draw in PICTURES.items() if not (PLACE / name).exists() or (PLACE / name).read_text() != draw()]
    if "--check" in sys.argv:
        for name in old:
            print(f"docs/pictures/{name} is not what is drawn today; ./dev docs pictures draws it anew")
        return 1 if old else 0
    PLACE.mkdir(parents=True, exist_ok=True)
    for name in old:
        (PLACE / name).write_text(PICTURES[name]())
        print(f"docs/pictures/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
