"""The API reference as one page of HTML that needs nothing else: no network, no other file, no script to be readable."""

import html
import re
from pathlib import Path

STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfa; --ink: #22262b; --dim: #6a7078; --line: #e2e2dc; --code: #f3f3ee;
        --link: #0b5a8a; --mark: #8a4b08; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181b; --ink: #d9dce0; --dim: #8d949c; --line: #2d3136; --code: #1f2226; --link: #7cbcea; --mark: #e0a458; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; display: flex; }
nav { position: sticky; top: 0; height: 100vh; width: 17rem; flex: none; overflow-y: auto; padding: 1.2rem 1rem 3rem;
      border-right: 1px solid var(--line); font-size: 14px; }
nav input { width: 100%; padding: .45rem .6rem; font: inherit; color: inherit; background: var(--code);
            border: 1px solid var(--line); border-radius: 5px; }
nav h2 { font-size: 12px; letter-spacing: .08em; text-transform: uppercase; color: var(--dim); margin: 1.2rem 0 .2rem; }
nav a { display: block; padding: .06rem 0; overflow: hidden; text-overflow: ellipsis; }
nav a.member { padding-left: .9rem; color: var(--dim); }
main { flex: 1; min-width: 0; max-width: 62rem; padding: 1.5rem 3rem 30vh; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
section > h2 { margin: 3.2rem 0 .1rem; padding-top: 1.2rem; border-top: 1px solid var(--line); font-size: 1.25rem; }
.include { color: var(--dim); margin: 0 0 1rem; font: 13px/1.5 ui-monospace, monospace; }
article { margin: 2.1rem 0; } article article { margin: 1.3rem 0 1.3rem 1.4rem; }
article h3 { margin: 0 0 .35rem; font-size: 1.06rem; } article h3 small { font-weight: 400; color: var(--dim); }
pre, code { font: 13.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { margin: .35rem 0; padding: .5rem .75rem; background: var(--code); border-radius: 5px; white-space: pre-wrap;
      overflow-wrap: anywhere; }
pre.example { border-left: 3px solid var(--line); } p { margin: .45rem 0; }
p code { background: var(--code); padding: 0 .2em; border-radius: 3px; }
.gives { color: var(--dim); font-size: 14px; margin: .2rem 0; } .gives b { color: var(--mark); font-weight: 500; }
table { border-collapse: collapse; margin: .5rem 0; } td { padding: .16rem 1.2rem .16rem 0; vertical-align: top; }
td:first-child { white-space: nowrap; } summary { color: var(--dim); cursor: pointer; font-size: 14px; }
:target > h3, tr:target { background: color-mix(in srgb, var(--mark) 18%, transparent); border-radius: 4px; }
@media (max-width: 56rem) { body { display: block; } nav { position: static; width: auto; height: auto; border: 0; }
  nav .list { display: none; } nav.searching .list { display: block; } main { padding: 1rem; }
  article article { margin-left: .5rem; } }
@media print { nav { display: none; } }
"""

SCRIPT = """
const field = document.querySelector('nav input'), list = document.querySelector('nav');
const links = [...list.querySelectorAll('a')], heads = [...list.querySelectorAll('h2')];
function look() {
  const words = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
  list.classList.toggle('searching', words.length > 0);
  for (const a of links) {
    const all = words.every(w => a.dataset.find.includes(w));
    a.hidden = words.length ? !all : a.classList.contains('member');
    a.style.display = a.hidden ? 'none' : '';
  }
  for (const h of heads) {
    let any = false;
    for (let e = h.nextElementSibling; e && e.tagName == 'A'; e = e.nextElementSibling) any ||= !e.hidden;
    h.style.display = any ? '' : 'none';
  }
}
field.addEventListener('input', look);
field.addEventListener('keydown', e => {
  if (e.key == 'Enter') { const a = links.find(a => !a.hidden); if (a) location.hash = a.hash; }
  if (e.key == 'Escape') { field.value = ''; look(); }
});
document.addEventListener('keydown', e => { if (e.key == '/' && e.target != field) { e.preventDefault(); field.focus(); } });
look();
"""

TYPES = ("class", "enum", "alias", "concept")
WORD = re.compile(r"(?:(?:lv|levity)::)?[a-zA-Z_]\w*(?:::~?[a-zA-Z_]\w*)*")


def anchor(path):
    return path.replace(" ", "_")


class Page:
    def __init__(self, names, root):
        self.root = root
        self.rooms = self.order_of_rooms()
        self.known, self.ids, count = {}, {}, {}
        for each in self.all(names):
            self.known.setdefault(each.path, each)
            # Functions of one name stand in several headers; the first has the plain anchor.
            count[each.path] = count.get(each.path, 0) + 1
            self.ids[id(each)] = anchor(each.path) + (f"-{count[each.path]}" if count[each.path] > 1 else "")
        # A word that is the name of an enumerator, too: which one is meant the text does not say.
        self.values = {each.name for each in self.known.values() if each.kind == "enumerator"}
        self.sections = {}
        for each in names:
            self.sections.setdefault(self.header_of(each.file), []).append(each)

    def all(self, names):
        for each in names:
            yield each
            yield from self.all(each.members)

    def order_of_rooms(self):
        lines = (self.root / "src/rooms.txt").read_text().splitlines()
        return [re.match(r"[a-z_]+", line).group() for line in lines if re.match(r"[a-z]", line)]

    def header_of(self, file):
        """What a user includes for a name: the header itself, or the one that includes its body."""
        if file.parent.name != "detail":
            return file
        line = f'#include "{file.relative_to(self.root / "include")}"'
        users = [each for each in sorted(file.parents[1].glob("*.hpp")) if line in each.read_text()]
        shortest = [each for each in users if each.stem in file.stem] or users
        return shortest[0] if shortest else file

    def find(self, word, around):
        word = re.sub(r"^(lv|levity)::", "", word)
        parts = around.split("::") if around else []
        for depth in range(len(parts), -1, -1):
            found = self.known.get("::".join([*parts[:depth], word]))
            if found is not None:
                return found
        return self.known.get(f"http::{word}") if "::" in word else None

    def link(self, text, around, of=None):
        """`text`, of which every type becomes a link, but for what is the name of a parameter; and all that says lv::."""
        made, last = [], 0
        for found in WORD.finditer(text):
            word = found.group()
            target = self.find(word, around)
            if target is None or target.path == of:
                continue
            names_it = text[:found.start()].endswith((" ", "(")) and text[found.end():].startswith((",", ")", " =", "(", "{"))
            if not word.startswith("lv::") and (target.kind not in TYPES or names_it and word != of):
                continue
            made.append(html.escape(text[last:found.start()], quote=False))
            made.append(f'<a href="#{self.id_of(target)}">{html.escape(found.group())}</a>')
            last = found.end()
        made.append(html.escape(text[last:], quote=False))
        return "".join(made)

    def example(self, text):
        """Code as it is, in which what says lv:: is linked."""
        return re.sub(r"lv::[\w:]*\w", lambda found: self.link(found.group(), ""), html.escape(text, quote=False))

    def prose(self, text, around):
        """Of running text only what looks like code is linked: `x`, x(), a::b, a_b."""
        made = []
        for piece in re.split(r"(`[^`]+`)", text):
            if piece.startswith("`"):
                code = piece[1:-1]
                target = self.find(code, around) if WORD.fullmatch(code) and code not in self.values else None
                target = target if target is not None and ("::" in code or target.kind in TYPES) else None
                shown = html.escape(code) if target is None else f'<a href="#{self.id_of(target)}">{html.escape(code)}</a>'
                made.append(f"<code>{shown}</code>")
                continue
            last = 0
            for found in WORD.finditer(piece):
                word = found.group()
                called = piece[found.end():found.end() + 1] == "("
                if not (called or "::" in word or "_" in word) or word.startswith("std::") or word == "O":
                    continue
                made.append(html.escape(piece[last:found.start()], quote=False))
                end = found.end() + (2 if piece.startswith("()", found.end()) else 0)
                target = self.find(word, around) if word not in self.values else None
                shown = html.escape(piece[found.start():end])
                made.append(f'<code><a href="#{self.id_of(target)}">{shown}</a></code>' if target else f"<code>{shown}</code>")
                last = end
            made.append(html.escape(piece[last:], quote=False))
        return "".join(made)

    def doc(self, text, around):
        blocks, paragraph, shown = [], [], []

        def close():
            if paragraph:
                blocks.append(f"<p>{self.prose(' '.join(paragraph), around)}</p>")
                paragraph.clear()
            while shown and not shown[-1].strip():
                shown.pop()
            if shown:
                cut = min(len(line) - len(line.lstrip()) for line in shown if line.strip())
                lines = "\n".join(line[cut:] for line in shown)
                blocks.append(f'<pre class="example">{self.example(lines)}</pre>')
                shown.clear()

        for line in text.splitlines():
            if line.startswith("  ") or (shown and not line.strip()):
                if not shown:
                    close()
                shown.append(line)
            elif not line.strip():
                close()
            else:
                if shown:
                    close()
                paragraph.append(line.strip())
        close()
        return "".join(blocks)

    def signature(self, each):
        text = each.signature
        if text.startswith("template <"):
            depth = 0
            for at, letter in enumerate(text):
                depth += (letter == "<") - (letter == ">")
                if letter == ">" and depth == 0:
                    text = text[:at + 1] + "\n" + text[at + 1:].lstrip()
                    break
        text = without_detail(text)
        around = each.path.rpartition("::")[0]
        return self.link(text, each.path if each.kind == "class" else around, each.path)

    def id_of(self, each):
        return self.ids[id(each)]

    def gives(self, each):
        if not each.gives:
            return ""
        free = set(re.findall(r"(?:class|\.\.\.) (\w+)", each.signature)) | {"T", "void"}
        around = each.path.rpartition("::")[0]
        for word in WORD.findall(each.gives):
            if not word.startswith("std") and word not in free and self.find(word, around) is None:
                return ""
        nothing = each.gives == "void"
        text = "nothing" if nothing else f"<code>{self.link(without_detail(each.gives), around)}</code>"
        return f'<p class="gives"><b>co_await</b> gives {text}</p>'

    def entry(self, group, level):
        each = group[0]
        signatures = [f"<pre>{self.signature(one)}</pre>" for one in group]
        if len(signatures) > 4:
            signatures[1:] = [f"<details><summary>{len(group) - 1} more</summary>{''.join(signatures[1:])}</details>"]
        around = each.path if each.kind == "class" else each.path.rpartition("::")[0]
        parts = [f'<article id="{self.id_of(each)}"><h3>{html.escape(each.path)} <small>{each.kind}</small></h3>', *signatures,
                 self.gives(each), self.doc(each.doc, around)]
        rows = [one for one in each.members if one.kind in ("enumerator", "value")]
        if rows:
            parts.append("<table>")
            for one in rows:
                text = one.name if one.kind == "enumerator" else one.signature
                text = without_detail(one.signature if "=" in one.signature else text)
                parts.append(f'<tr id="{self.id_of(one)}"><td><code>{self.link(text, each.path, one.path)}</code></td>'
                             f"<td>{self.prose(' '.join(one.doc.split()), each.path)}</td></tr>")
            parts.append("</table>")
        parts += [self.entry(more, level + 1) for more in self.groups(one for one in each.members if one not in rows)]
        return "".join(parts) + "</article>\n"

    @staticmethod
    def groups(names):
        made = []
        for each in names:
            if each.shares and made and made[-1][0].path == each.path:
                made[-1].append(each)
            else:
                made.append([each])
        return made

    def write(self):
        def place(header):
            room = header.parent.name
            return self.rooms.index(room) if room in self.rooms else len(self.rooms), header.stem

        optional = {line.split(" ")[0] for line in (self.root / "src/rooms.txt").read_text().splitlines()
                    if re.match(r"[a-z_]+ \[[a-z ]*optional", line)}
        body, index, room = [], [], None
        for header in sorted(self.sections, key=place):
            names = self.sections[header]
            path = header.relative_to(self.root / "include")
            if header.parent.name != room:
                room = header.parent.name
                index.append(f"<h2>{room}</h2>")
            library = f"levity::{room}" if room in optional else "levity::levity"
            title = anchor(str(path))
            index.append(f'<a href="#{title}" data-find="{html.escape(str(path))}">{header.stem}</a>')
            seen = set()
            for each in self.all(names):
                if each.path in seen:
                    continue
                seen.add(each.path)
                index.append(f'<a class="member" href="#{self.id_of(each)}" data-find="{html.escape(each.path.lower())}">'
                             f"{html.escape(each.path)}</a>")
            body.append(f'<section id="{title}"><h2>{room}: {header.stem}</h2>'
                        f'<p class="include">#include "{path}" &nbsp; {library}</p>')
            body += [self.entry(group, 0) for group in self.groups(names)]
            body.append("</section>")
        intro = ('<h1>levity</h1><p>Every public name, with the header to include and the library to link. All of it lives in '
                 "<code>namespace levity</code>; <code>levity/levity.hpp</code> takes in all but the optional rooms. "
                 "Made from the headers by <code>./dev docs</code>. Press <code>/</code> to search.</p>")
        return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>levity: the API</title>'
                f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
                f'<nav><input type="search" placeholder="search names" aria-label="search names"><div class="list">{"".join(index)}'
                f'</div></nav><main>{intro}{"".join(body)}</main><script>{SCRIPT}</script></body></html>\n')


def without_detail(text):
    """A signature as a user may read it: what stands in `detail` has no name there."""
    # What an awaitable is called is nobody's business: co_await it.
    text = re.sub(r"(?m)^(static )?detail::\w+(<[^()\n]*>)? (?=\w+\()", r"\1auto ", text)
    text = re.sub(r" noexcept\(\(?detail::[^)]*\)?\)", "", text)
    text = text.replace("detail::value_or_unit<T>", "T").replace("detail::operation Awaitable", "class Awaitable")
    text = re.sub(r"detail::result_slot<[^>]*>&?", "auto", text)
    return text.replace("detail::", "")


def write(names, root, folder):
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(folder) / "index.html"
    place.write_text(Page(names, root).write())
    return place
