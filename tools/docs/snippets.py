"""Makes one C++ program of the examples in a guide: `snippets.py GUIDE.md PROGRAM.cpp`; `guides_test.py` runs them.

A block that opens with ```cpp is compiled, in a namespace of its own, after what the guide gives before in comments:

    <!-- given
    struct order {};
    -->

What stands behind `cpp` says more:

    run               example(), a task or a function, runs and the program ends with 0
    prints: REGEX     the same, and somewhere in its output, whatever it ends with, is REGEX
    hangs: REGEX      example() does not end, and the dump that SIGQUIT asks for has REGEX
    asan: REGEX       the same as prints, where the program is built with the address sanitizer
    refused: REGEX    the compiler refuses the block with such a message
    given             all blocks below see it, as what stands in such a comment
    given: first      and those above
    tests             a whole file of tests by GoogleTest: they pass, and all blocks below see it, too. What it includes in angle
                      brackets stands before everything; what it includes in quotes is the reader's, which the guide gives first

`g++12` before one of them: only there; other compilers compile the block.
"""

import re
import sys
from pathlib import Path

ROLES = ("run", "prints", "hangs", "asan", "refused", "given", "tests")

BEFORE = """// Made of {guide} by tools/docs/snippets.py.
#undef NDEBUG
#include <levity/cache/cache.hpp>
#include <levity/http/client.hpp>
#include <levity/http/problem.hpp>
#include <levity/http/server.hpp>
#include <levity/levity.hpp>
#include <levity/redis/client.hpp>
#include <levity/resilience/adaptive_limit.hpp>
#include <levity/resilience/breaker.hpp>
#include <levity/resilience/fallback.hpp>
#include <levity/resilience/pipeline.hpp>
#include <levity/resolve/connect.hpp>
#include <levity/service/canary.hpp>
#include <levity/service/config.hpp>
#include <levity/service/drain.hpp>
#include <levity/service/health.hpp>
#include <levity/service/log.hpp>
#include <levity/service/trace_context.hpp>
#include <levity/sim/check.hpp>
#include <levity/sim/explore.hpp>
#include <levity/sim/stream_pair.hpp>
#include <levity/sim/world.hpp>

#include <unistd.h>

#include <cassert>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace lv = levity;
using namespace std::chrono_literals;
"""

RUN_TESTS = """
static int run_tests(const char* which) {
  ::testing::InitGoogleTest();
  GTEST_FLAG_SET(filter, which);
  const int failed = RUN_ALL_TESTS();
  return failed != 0 || ::testing::UnitTest::GetInstance()->successful_test_count() == 0 ? 1 : 0;
}
"""

AFTER = """
template <class F>
static int start(F example) {{
  if constexpr (std::is_void_v<std::invoke_result_t<F>>) {{
    example();
    return 0;
  }} else {{
    return lv::run(example);
  }}
}}

int main(int count, char** arguments) {{
  const std::string which = count > 1 ? arguments[1] : "";
  if (which == "--list") {{
#ifdef LEVITY_ASAN
    std::puts("asan");
#endif
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
    std::puts("g++12");
#endif
    std::printf("compiler %s\\n", COMPILER);
{listed}    return 0;
  }}
{started}  return 2;
}}
"""


class Block:
    def __init__(self, line, info, text):
        self.line, self.text = line, text
        words = re.fullmatch(r"(g\+\+12 )?(?:(\w+)(?:: (.+))?)?", info)
        if words is None or (words.group(2) or "run") not in ROLES:
            sys.exit(f"line {line}: cannot read ```cpp {info}; known are {', '.join(ROLES)}")
        self.old_only, self.role, self.pattern = bool(words.group(1)), words.group(2) or "", words.group(3) or ""


def blocks_of(text):
    """What the guide includes and gives, its tests, and its other blocks."""
    comments = re.finditer(r"<!-- given\n(.*?)-->", text, re.S)
    given = [(text.count("\n", 0, found.start(1)) + 1, found.group(1)) for found in comments]
    outside, first, tests, blocks, lines, at = [], [], [], [], text.splitlines(), 0
    while at < len(lines):
        if (found := re.match(r"```cpp ?(.*)$", lines[at])) is not None:
            end = lines.index("```", at)
            block = Block(at + 2, found.group(1).strip(), "\n".join(lines[at + 1:end]))
            if block.role == "given":
                (first if block.pattern == "first" else given).append((block.line, given_code(block)))
            elif block.role == "tests":
                tests.append(block)
            else:
                blocks.append(block)
            at = end
        at += 1
    for each in tests:
        includes, each.text = take_includes(each.text)
        outside += includes
        each.pattern = filter_of(each.text)
        if not each.pattern:
            sys.exit(f"line {each.line}: there is no TEST")
        given.append((each.line, given_code(each)))
    return outside, first + sorted(given), tests, blocks


def given_code(block):
    return f"inline namespace given_{block.line} {{\n{block.text}\n}}\n"


def take_includes(text):
    """The lines that include what stands in angle brackets, and the text without any line that includes."""
    outside = re.findall(r"^#include <.*$", text, re.M)
    return [line.split("//")[0].rstrip() for line in outside], re.sub(r"^#include .*$", "", text, flags=re.M)


def filter_of(text):
    return ":".join(".".join(each) for each in re.findall(r"^TEST\((\w+), (\w+)\)", text, re.M))


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def program_of(guide, text):
    outside, given, tests, blocks = blocks_of(text)
    before = BEFORE.format(guide=guide) + "".join(f"{line}\n" for line in outside)
    parts = [before]
    parts += [f"#line {line} {quoted(guide)}\n{code}" for line, code in given]
    if tests:
        parts.append(RUN_TESTS)
    listed, started = "", ""
    for each in tests:
        listed += f"    std::puts({quoted(f'tests {each.line} {each.pattern}')});\n"
        started += f'  if (which == "{each.line}") return run_tests("{each.pattern}");\n'
    for each in blocks:
        kind = f"{'g++12 ' if each.old_only else ''}{each.role or 'compiled'} {each.line} {each.pattern}"
        listed += f"    std::puts({quoted(kind)});\n"
        if each.role == "refused":
            continue
        parts.append(f"namespace block_{each.line} {{\n#line {each.line} {quoted(guide)}\n{each.text}\n}}\n")
        if each.role:
            started += f'  if (which == "{each.line}") return start(block_{each.line}::example);\n'
    parts.append(AFTER.format(listed=listed, started=started))
    refused = {each.line: before + "".join(code for _, code in given) + each.text + "\n"
               for each in blocks if each.role == "refused"}
    return "\n".join(parts), refused


def main():
    guide, program = Path(sys.argv[1]), Path(sys.argv[2])
    text, refused = program_of(str(guide), guide.read_text())
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(text)
    for line, code in refused.items():
        program.with_name(f"{program.stem}_refused_{line}.cpp").write_text(code)


if __name__ == "__main__":
    main()
