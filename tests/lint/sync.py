# SPDX-License-Identifier: MIT
"""Every atomic operation says its order and why, and every label has both its sides.

Directly above the statement, or above the line of the operation, stands `// sync(label): ...`, or
`// relaxed: ...` where the only order is relaxed. One comment covers a compare-exchange with its
order on failure. A `// relaxed:` comment also covers the relaxed operations that follow on the next
lines without a gap, as counters do. A label needs a release and an acquire somewhere.
"""

import re

import lint

# The wrapper itself passes on what it was given.
EXCEPTIONS = {"base/atomic.hpp"}

OPERATION = re.compile(
    r"(?:(?:\.|->)\s*(?:template\s+)?(?P<member>load|store|exchange|fetch_(?:add|sub|and|or|xor)"
    r"|compare_exchange_(?:weak|strong)|test_and_set)"
    r"|\b(?P<fence>atomic_(?:thread|signal)_fence))\s*\(")
ORDER = re.compile(r"\bmemory_order(?:_|::)(relaxed|consume|acquire|release|acq_rel|seq_cst)\b")
LABEL = re.compile(r"//+\s*sync\(([^)]+)\):\s*(\S.*)?$")
RELAXED = re.compile(r"//+\s*relaxed:\s*(\S.*)?$")
NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|R"\((?:.*?)\)"|"(?:[^"\\\n]|\\.)*"', re.DOTALL)

ACQUIRES = {"acquire", "consume", "acq_rel", "seq_cst"}
RELEASES = {"release", "acq_rel", "seq_cst"}


def blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def arguments(code, start):
    """The text between the parenthesis before `start` and its partner."""
    depth, end = 1, start
    while end < len(code) and depth > 0:
        depth += {"(": 1, ")": -1}.get(code[end], 0)
        end += 1
    return code[start:end - 1]


def sides(kind, orders):
    """Which sides an operation takes: a load cannot release, a store cannot acquire."""
    taken = set()
    if kind != "store" and ACQUIRES & orders:
        taken.add("acquire")
    if kind != "load" and RELEASES & orders:
        taken.add("release")
    return taken


def comment_above(lines, line):
    """The numbers of the comment lines directly above line `line` (both count from 0)."""
    first = line
    while first > 0 and lines[first - 1].lstrip().startswith("//"):
        first -= 1
    return range(first, line)


def check_file(path, relative, seen):
    text = lint.read(path)
    lines = text.splitlines()
    code = NOT_CODE.sub(blank, text)
    used = set()          # comment lines that explain something
    relaxed_until = None  # last line of the statement that a relaxed comment covers so far
    for match in OPERATION.finditer(code):
        kind = match["member"] or "fence"
        where = f"{path}:{code.count(chr(10), 0, match.start()) + 1}"
        orders = set(ORDER.findall(arguments(code, match.end())))
        if not orders:
            yield f"{where}: {kind} without an explicit memory order"
            continue
        # Where the statement begins: after the last `;`, `{` or `}`.
        begin = max(code.rfind(mark, 0, match.start()) for mark in ";{}") + 1
        begin += len(code[begin:]) - len(code[begin:].lstrip())
        first = code.count("\n", 0, begin)
        last = code.count("\n", 0, match.start())
        above = [*comment_above(lines, first),
                 *(at for line in range(first + 1, last + 1) for at in comment_above(lines, line))]
        labels = {at: LABEL.search(lines[at]) for at in above if LABEL.search(lines[at])}
        reasons = [at for at in above if RELAXED.search(lines[at])]

        if orders == {"relaxed"}:
            if reasons or (relaxed_until is not None and relaxed_until >= first - 1):
                used.update(reasons)
                end = code.find(";", match.end())
                relaxed_until = code.count("\n", 0, end if end >= 0 else len(code))
            else:
                yield f"{where}: relaxed {kind} without `// relaxed: why` directly above"
            continue
        relaxed_until = None
        if not labels:
            order = "/".join(sorted(orders))
            yield f"{where}: {order} {kind} without `// sync(label): ...` directly above"
        for at, label in labels.items():
            used.add(at)
            for name in label[1].split(","):
                seen.setdefault(name.strip(), {})
                for side in sides(kind, orders):
                    seen[name.strip()].setdefault(side, where)
                seen[name.strip()].setdefault("place", where)
    for at, line in enumerate(lines):
        comment = LABEL.search(line) or RELAXED.search(line)
        if not comment or not line.lstrip().startswith("//"):
            continue
        if comment[comment.lastindex or 0] is None or not re.search(r":\s*\S", line):
            yield f"{path}:{at + 1}: the comment gives no reason"
        if at not in used and "///" not in line:
            yield f"{path}:{at + 1}: explains no atomic operation: {line.strip()}"


def check(root):
    wrong, seen = [], {}
    for path, relative in lint.headers(root):
        if str(relative) not in EXCEPTIONS:
            wrong += check_file(path, relative, seen)
    for name, found in sorted(seen.items()):
        for side in ("release", "acquire"):
            if side not in found:
                wrong.append(f"{found['place']}: sync({name}) has no {side} anywhere")
    return wrong


HEADER = "include/zcpool/ring/a.hpp"
PAIR = """
    // sync(turn): release; makes the value visible to the acquire in pop.
    turn.store(1, memory_order_release);
"""


def case(name, text, word):
    return (name, {HEADER: text}, word)


CASES = [
    case("both sides, failure orders, runs of counters, statements of several lines", PAIR + """
    // relaxed: a hint; the exchange below decides.
    auto now = word->load(std::memory_order_relaxed);
    // (1) somebody else was faster
    // sync(turn): acquire; pairs with the release in push.
    while (!word->compare_exchange_weak(now, next(now), std::memory_order::acq_rel,
                                        std::memory_order::relaxed)) {
    }
    // relaxed: only this thread writes; the sum is read as it happens to be.
    count.store(1, memory_order_relaxed);
    bytes.store(
        2, memory_order_relaxed);
    sum.fetch_add(count.load(memory_order_relaxed),
                  memory_order_relaxed);
    f(1,
      // sync(turn): acquire; as above.
      turn.load(memory_order_acquire));
    const char* s = "x.load()"; // x.load()
""", None),
    case("no order", "x.load();", "without an explicit"),
    case("no order in a compare-exchange", "x->compare_exchange_strong(a, b);", "explicit"),
    case("no comment", "x.load(memory_order_acquire);", "without `// sync(label)"),
    case("no reason", "x.fetch_add(1, memory_order_relaxed);", "without `// relaxed"),
    case("an empty reason", "// relaxed:\nx.load(memory_order_relaxed);", "gives no reason"),
    case("a comment with a gap", "// relaxed: because\n\nx.load(memory_order_relaxed);",
         "without `// relaxed"),
    case("relaxed said of an acquire", "// relaxed: because\nx.load(memory_order_acquire);",
         "without `// sync(label)"),
    case("a run that was interrupted", "// relaxed: because\nx.load(memory_order_relaxed);\nf();\n"
         "x.load(memory_order_relaxed);", "without `// relaxed"),
    case("one side only", PAIR, "sync(turn) has no acquire"),
    case("a load cannot release", "// sync(a): x\nx.load(memory_order_seq_cst);", "no release"),
    case("a store cannot acquire", "// sync(a): x\nx.store(1, memory_order_seq_cst);",
         "no acquire"),
    case("a comment whose operation is gone", "// sync(a): acquire; of what?\nf();", "explains no"),
    case("a fence", "std::atomic_thread_fence(std::memory_order_release);", "without `// sync"),
]

if __name__ == "__main__":
    lint.main(check, CASES)
