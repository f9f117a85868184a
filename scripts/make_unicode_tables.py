"""Writes lib/unicode-tables.ts: what the reference tokenizer does with each code point.

Nothing here is taken from the Unicode database: every class and mapping is found by asking Python `tokenizers`
itself, so that the JavaScript tokenizer has its answers, whatever Unicode version either of them was built on.

    python scripts/make_unicode_tables.py
"""

import textwrap
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

OUT = Path(__file__).parent.parent / "lib" / "unicode-tables.ts"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)


def bert(**on):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**off, **on}).normalize_str


clean, chinese, strip, lower = (
    bert(**{name: True}) for name in ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
)
nfd = normalizers.NFD().normalize_str


def pieces(char):
    return [piece for piece, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(f"a{char}a")]


def is_nonstarter(char):
    # Of two marks the one of the lower combining class goes first: U+0334 has the lowest, U+0345 the highest.
    return nfd(char + "\u0334") == "\u0334" + char or nfd("\u0345" + char) == char + "\u0345"


def combining_classes(chars, representatives):
    """The place of each mark among the representatives of the combining classes, from low to high."""
    classes = {}
    for char in chars:
        lower_ones = [mark for mark in representatives if mark != char and nfd(char + mark) == mark + char]
        classes[char] = len(lower_ones)
    return classes


def sorted_representatives(nonstarters):
    """One mark of each combining class, found by insertion: marks of one class never change places."""
    found = []
    for char in nonstarters:
        place = sum(nfd(char + mark) == mark + char for mark in found)
        if place < len(found) and nfd(found[place] + char) != char + found[place]:
            continue
        found.insert(place, char)
    return found


def runs(code_points):
    """Gap and length of each run of code points, in base 36."""
    out, end, points = [], 0, sorted(code_points)
    start = None
    for at, point in enumerate(points):
        start = point if start is None else start
        if at + 1 == len(points) or points[at + 1] != point + 1:
            out += [start - end, point + 1 - start]
            end, start = point + 1, None
    return " ".join(base36(number) for number in out)


def base36(number):
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
        if number == 0:
            return digits


def mappings(table):
    """`gap:target,target` for each source in order; gaps count from the source before, all in base 36."""
    out, before = [], 0
    for source in sorted(table):
        targets = ",".join(base36(ord(char)) for char in table[source])
        out.append(f"{base36(source - before)}:{targets}")
        before = source
    return " ".join(out)


def probe():
    classes = {name: [] for name in ("removed", "whitespace", "cjk", "punctuation", "nonspacing", "nonstarter")}
    decomposed, lowered = {}, {}
    for point in CODE_POINTS:
        char = chr(point)
        kept = clean(char)
        split = pieces(char)
        if kept == "":
            classes["removed"].append(point)
        if split == ["a", "a"]:
            classes["whitespace"].append(point)
        elif len(split) == 3:
            classes["punctuation"].append(point)
        assert kept in ("", " " if split == ["a", "a"] else char), hex(point)
        if chinese(char) != char:
            assert chinese(char) == f" {char} ", hex(point)
            classes["cjk"].append(point)
        if is_nonstarter(char):
            classes["nonstarter"].append(point)
        if nfd(char) == char:
            if strip(char) == "":
                classes["nonspacing"].append(point)
        elif point not in HANGUL:
            decomposed[point] = nfd(char)
        if lower(char) != char:
            lowered[point] = lower(char)
    return classes, decomposed, lowered


def check(classes, decomposed):
    """What the code relies on without asking."""
    nonspacing, nonstarter = set(classes["nonspacing"]), set(classes["nonstarter"])
    for name in ("whitespace", "punctuation", "cjk"):
        assert not nonstarter & set(classes[name]), name
    for point in CODE_POINTS:
        survivors = "".join(char for char in nfd(chr(point)) if ord(char) not in nonspacing)
        assert strip(chr(point)) == survivors, hex(point)
    for point in HANGUL:
        index = point - 0xAC00
        jamo = [0x1100 + index // 588, 0x1161 + index % 588 // 28, 0x11A7 + index % 28]
        assert nfd(chr(point)) == "".join(map(chr, jamo[: 3 if index % 28 else 2])), hex(point)
    for point in classes["nonstarter"]:
        assert point not in decomposed, hex(point)
        assert lower(chr(point)) == chr(point), hex(point)


def main():
    classes, decomposed, lowered = probe()
    check(classes, decomposed)
    marks = [chr(point) for point in classes["nonstarter"]]
    survivors = [char for char in marks if ord(char) not in set(classes["nonspacing"])]
    ranks = combining_classes(survivors, sorted_representatives(marks))

    tables = {
        "REMOVED": ("Runs that `clean_text` removes.", runs(classes["removed"])),
        "WHITESPACE": ("Runs that separate words.", runs(classes["whitespace"])),
        "CJK": ("Runs that `handle_chinese_chars` makes words of their own.", runs(classes["cjk"])),
        "PUNCTUATION": ("Runs that are words of their own.", runs(classes["punctuation"])),
        "NONSPACING": ("Runs of marks that `strip_accents` strips.", runs(classes["nonspacing"])),
        "NONSTARTER": ("Runs of marks with a combining class other than 0.", runs(classes["nonstarter"])),
        "COMBINING_RANK": (
            "Marks that are not stripped: the rank of their combining class.",
            mappings({ord(char): chr(rank) for char, rank in ranks.items()}),
        ),
        "DECOMPOSED": ("Canonical decompositions, Hangul left out.", mappings(decomposed)),
        "LOWERED": ("Lower case of one code point by itself.", mappings(lowered)),
    }
    lines = [
        f"// Made by scripts/{Path(__file__).name} from Python tokenizers {tokenizers.__version__}; do not edit.",
        "// Numbers are in base 36. Runs are pairs: the gap since the run before, and the run's length. Mappings",
        "// are the gap since the source before, a colon, and what stands in its place.",
    ]
    for name, (comment, content) in tables.items():
        wrapped = "\n".join(textwrap.wrap(content, 108, break_on_hyphens=False))
        lines += ["", f"/** {comment} */", f"export const {name} = `", f"{wrapped}", "`"]
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{OUT.name}: {OUT.stat().st_size:,} bytes; {len(decomposed)} decompositions, {len(lowered)} lower cases,")
    print(f"{len(survivors)} marks that stay: {' '.join(f'{ord(c):X}={r}' for c, r in ranks.items())}")


if __name__ == "__main__":
    main()
