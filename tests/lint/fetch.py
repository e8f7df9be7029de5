# SPDX-License-Identifier: MIT
"""Memory that other processes can write is read in few places, as atomics, and each word once.

What was checked must be what is used: who reads a word again may read another one. So, in the
folders that touch such memory,

- bytes become words, by a cast or by placement new, only in the accessors that stand below, and
  what they become is atomic down to the last member: no compiler reads a plain one once only;
- a table, which is plain numbers, is never read where it lies: who makes the file writes it, and
  whoever gets the file copies it out by one pread(2) and checks the copy;
- no function loads the same word twice. Where it must, `// again: why` stands above the second.
"""

import re

import lint

FOLDERS = ("ring", "pool", "chain", "ipc")

# Which headers may say what lies in some memory, and in whose.
ACCESSORS = {
    "pool/core.hpp": "the header of control memory",
    "pool/create.hpp": "control memory that nobody else has yet",
    "pool/sharing.hpp": "control memory: registry and waiters",
    "pool/slab.hpp": "control memory: slot words, stores, counters",
    "pool/renewal.hpp": "control memory: stamps and counters",
    "pool/magazine.hpp": "memory of this process alone",
    "ipc/observer.hpp": "control memory, read-only",
    "ipc/channel_memory.hpp": "the file of a channel",
    "ipc/feed_memory.hpp": "the file of a feed",
    "ipc/stream_file.hpp": "the file of a stream",
}
OWN_MEMORY = {"pool/magazine.hpp"}

NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|R"\((?:.*?)\)"|"(?:[^"\\\n]|\\.)*"', re.DOTALL)
CAST = re.compile(r"\breinterpret_cast<\s*(?P<cast>[^;(]*?)\s*[*&]\s*>\s*\("
                  r"|\bnew\s*\([^;]*?\.(?:data|front)\(\)[^;]*?\)\s*(?P<made>[\w:]+)")
BYTES = re.compile(r"(?:const\s+)?(?:std::)?(?:byte|uint8_t|char|unsigned char)$")
TABLE = re.compile(r"\bheader(?:\(\))?\s*(?:\.|->)\s*table\b(?P<after>(?:\.\w+)*\s*(?:=(?!=))?)")
READ = re.compile(r"(?:(?:\.|->)\s*(?:load|was)|\bpread)\s*\(")
END = re.compile(r"[;{}]\s*$")
AGAIN = re.compile(r"//+\s*again:\s*\S")
TYPE = re.compile(r"\b(?:namespace|struct|class|union|enum)\b")


def blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def line_of(code, at):
    return code.count("\n", 0, at) + 1


def functions(code):
    """The bodies of all functions, with the lambdas in them."""
    blocks, found = [], []
    for at, mark in enumerate(code):
        if mark == "{":
            begin = max(code.rfind(end, 0, at) for end in ";{}") + 1
            head = re.sub(r"\balignas\([^)]*\)", "", code[begin:at])
            is_function = ("(" in head and not (TYPE.search(head) and ")" not in head)
                           and "function" not in blocks)
            blocks.append("function" if is_function else "other")
            found.append((at, is_function))
        elif mark == "}" and blocks:
            blocks.pop()
            begin, is_function = found.pop()
            if is_function:
                yield begin, at


def receiver(code, end):
    """What stands before the dot at `end`: `a.b(c)[d]`, without spaces."""
    at = end
    while at > 0:
        mark = code[at - 1]
        if mark in ")]":
            depth = 0
            while at > 0:
                at -= 1
                depth += {")": 1, "]": 1, "(": -1, "[": -1}.get(code[at], 0)
                if depth == 0:
                    break
        elif mark.isalnum() or mark in "_.:" or code[at - 2:at] == "->":
            at -= 2 if mark == ">" else 1
        elif mark.isspace() and re.match(r"\s*($|\.|->|\(|\[)", code[at:end]):
            at -= 1
        else:
            break
    return re.sub(r"\s", "", code[at:end])


def twice(path, text, code):
    lines = text.splitlines()
    for begin, end in functions(code):
        seen = {}
        for match in READ.finditer(code, begin, end):
            word = receiver(code, match.start()) + re.sub(r"[\s(]", "", match[0])
            line = line_of(code, match.start())
            above = line - 1
            is_meant = False
            # Comments above the statement, which may have begun on a line before.
            while above > 0 and not re.search(r"[;{}]\s*$", NOT_CODE.sub(blank, lines[above - 1])):
                above -= 1
                is_meant = is_meant or bool(AGAIN.search(lines[above]))
            if word in seen and not is_meant:
                yield (f"{path}:{line}: `{word}` is read again, after line {seen[word]}: "
                       "use what was read first, or say `// again: why`")
            seen.setdefault(word, line)


class Types:
    """All types of the library by name, for asking whether one is atomic throughout."""

    def __init__(self, codes):
        self.bodies, self.aliases = {}, {}
        for code in codes:
            for match in re.finditer(r"(?<!enum )\b(?:struct|class)\s+"
                                     r"(?:alignas\([^)]*\)\s*)?(\w+)\b"
                                     r"\s*(?:final\s*)?(?::[^;{()]*)?\{", code):
                self.bodies.setdefault(match[1], []).append(self.body(code, match.end()))
            for match in re.finditer(r"\busing\s+(\w+)\s*=\s*([^;]+);", code):
                self.aliases.setdefault(match[1], []).append(match[2].strip())

    @staticmethod
    def body(code, begin):
        """The declarations of a type: its text without what stands in braces."""
        depth, kept = 1, []
        for mark in code[begin:]:
            depth += {"{": 1, "}": -1}.get(mark, 0)
            if depth == 0:
                break
            kept.append(mark if depth == 1 and mark != "}" else ";" if mark in "{}" else "")
        return "".join(kept)

    def plain(self, name, asked=()):
        """The first member of a type that is not atomic; None: there is none."""
        name = re.sub(r"\b(?:const|typename)\b", "", name).strip()
        if re.match(r"(?:\w+::)*[Aa]tomic<", name) or name.endswith("_table"):
            return None
        array = re.match(r"std::array<(.*),[^,]*>$", name, re.DOTALL)
        if array:
            return self.plain(array[1], asked)
        name = re.sub(r"<.*>$", "", name, flags=re.DOTALL).split("::")[-1]
        if name in asked:
            return None
        asked = (*asked, name)
        known = self.aliases.get(name, [])
        members = [member for body in self.bodies.get(name, []) for member in self.members(body)]
        if not known and name not in self.bodies:
            return name
        return next((found for found in (self.plain(each, asked) for each in known + members)
                     if found is not None), None)

    @staticmethod
    def members(body):
        for statement in body.split(";"):
            statement = re.sub(r"\b(?:public|private|protected)\s*:", "", statement)
            statement = re.sub(r"\balignas\([^)]*\)", "", statement).split("=")[0].strip()
            if re.match(r"(?:using|friend|static|static_assert|template|struct|class|enum|"
                        r"explicit|constexpr)\b", statement) or re.search(r"[()]", statement):
                continue
            member = re.match(r"(.*\S)\s+\w+$", statement, re.DOTALL)
            if member:
                yield member[1]


def casts(code):
    """(place, type) of each place where bytes become something."""
    for match in CAST.finditer(code):
        name = (match["cast"] or match["made"]).strip()
        if not BYTES.match(name):
            yield match.start(), name


def check(root):
    wrong, used = [], set()
    read = [(path, str(relative), lint.read(path)) for path, relative in lint.headers(root)]
    texts = [(path, name, text, NOT_CODE.sub(blank, text)) for path, name, text in read]
    types = Types([code for _, _, _, code in texts])
    for path, name, text, code in texts:
        if name.split("/")[0] not in FOLDERS:
            continue
        for at, made in casts(code):
            used.add(name)
            where = f"{path}:{line_of(code, at)}"
            if name not in ACCESSORS:
                wrong.append(f"{where}: makes `{made}` of bytes, but is no accessor of them")
                continue
            # A template's parameter is what it is called with.
            made = [made] if made != "T" else re.findall(r"\bat<([^()]*?)>\(", code)
            for each in made if name not in OWN_MEMORY else ():
                plain = types.plain(each)
                if plain is not None:
                    wrong.append(f"{where}: `{each}` in shared memory has a plain `{plain}`")
        for match in TABLE.finditer(code):
            if not match["after"].rstrip().endswith("="):
                wrong.append(f"{path}:{line_of(code, match.start())}: reads a table where others "
                             "can write it; use the copy that was checked")
        wrong += twice(path, text, code)
    wrong += [f"{root}: no cast in {name}, which stands in ACCESSORS"
              for name in sorted(set(ACCESSORS) - used)
              if (root / "include/zcpool" / name).exists()]
    return wrong


HEADER = "include/zcpool/ipc/feed_memory.hpp"
TYPES = """
struct a_table { int plain; };
template <template <class> class Atomic = atomic>
struct basic_part { using word = Atomic<int>; word one; std::array<Atomic<int>, 3> more; };
using part = basic_part<>;
struct a_header {
    a_table table;
    alignas(64) part first;  // plain is only a comment here
    atomic<int> second{0};
    static constexpr int limit = 3;
    [[nodiscard]] int get() const noexcept { return 1; }
};
a_header& header() { return *reinterpret_cast<a_header*>(pages.data()); }
"""


def case(name, text, word, path=HEADER):
    return (name, {HEADER: TYPES} | {path: (TYPES if path == HEADER else "") + text}, word)


CASES = [
    case("in order", """
void f() {
    header().table = table;
    header->table.capacity = 3;
    auto now = word.load(relaxed);
    auto other = words[1].load(relaxed);
    other = words[2].load(relaxed);
    // relaxed: a reason.
    // again: the first was of the other branch.
    if (word.load(relaxed)) {}
    auto* bytes = reinterpret_cast<const std::byte*>(&now);
}
void g() { word.load(relaxed); }
""", None),
    case("a cast elsewhere", "auto* a = reinterpret_cast<a_header*>(bytes);", "is no accessor",
         "include/zcpool/ipc/other.hpp"),
    case("placement elsewhere", "auto* a = ::new (pages.data()) a_header{};", "is no accessor",
         "include/zcpool/ipc/other.hpp"),
    case("a plain member", """
struct b_header { a_table table; std::uint32_t closed; };
auto* b = reinterpret_cast<const b_header*>(bytes);
""", "has a plain `uint32_t`"),
    case("a plain member inside", """
struct inner { atomic<int> a; int b = 0; };
struct c_header { std::array<inner, 2> all; };
auto* c = reinterpret_cast<c_header*>(bytes);
""", "has a plain `int`"),
    case("a plain number", "auto* d = reinterpret_cast<std::uint64_t*>(bytes);", "has a plain"),
    case("through a template", """
template <class T> T& at(int offset) { return *reinterpret_cast<T*>(bytes + offset); }
int& number() { return at<int>(3); }
""", "has a plain `int`"),
    case("a table that is read", "bool f() { return header().table.capacity == 3; }",
         "reads a table"),
    case("a table that is bound", "auto& t = header.table;", "reads a table"),
    case("a second load", "void f() { if (a->b.load(x) < 3) { use(a->b.load(x)); } }",
         "`a->b.load` is read again"),
    case("a second look", "void f() { g([&] { return slots.word(i).was(); }); slots.word(i)\n"
         "        .was(); }", "is read again"),
    case("a second copy", "void f() { pread(fd, &t, 8, 0); check(t); pread(fd, &t, 8, 0); }",
         "is read again"),
    case("an accessor that is none", "\n", "stands in ACCESSORS",
         "include/zcpool/ipc/stream_file.hpp"),
]

if __name__ == "__main__":
    lint.main(check, CASES)
