"""Seeded texts that tokenizers are compared on, and the form in which ids are written for the other side to read."""

import random
import struct
import unicodedata

from tokenizers import normalizers

# Blocks of the scripts that texts are made of; what is no letter or mark in them is left out.
SCRIPTS = {
    "Latin": [(0x41, 0x5B), (0x61, 0x7B), (0x61, 0x7B), (0xC0, 0x250), (0x1E00, 0x1F00)],
    "Greek": [(0x370, 0x400), (0x386, 0x3CF), (0x1F00, 0x2000)],
    "Cyrillic": [(0x400, 0x460), (0x400, 0x530), (0x1C80, 0x1C90)],
    "Armenian": [(0x530, 0x590)],
    "Hebrew": [(0x591, 0x5F5), (0x5D0, 0x5EB)],
    "Arabic": [(0x620, 0x660), (0x660, 0x700), (0xFB50, 0xFDFE), (0xFE70, 0xFEFD)],
    "Devanagari": [(0x900, 0x980)],
    "Bengali": [(0x980, 0xA00)],
    "Tamil": [(0xB80, 0xC00)],
    "Thai": [(0xE00, 0xE80)],
    "Georgian": [(0x10A0, 0x1100), (0x1C90, 0x1CC0)],
    "Ethiopic": [(0x1200, 0x1380)],
    "Hangul": [(0xAC00, 0xD7A4), (0x1100, 0x1200), (0x3131, 0x318F)],
    "Kana": [(0x3041, 0x3100), (0xFF66, 0xFFA0)],
    "Han": [(0x4E00, 0xA000), (0x4E00, 0x5200), (0x3400, 0x4DC0), (0xF900, 0xFB00), (0x20000, 0x2A6E0)],
}
BETWEEN = [" "] * 12 + [", ", ". ", "! ", "? ", "-", "'", "’s ", " – ", "\u00a0", "\u200b", "/", " (", ") ", "\n"]
BETWEEN += ["،", "؟ ", "。", "、", "「", "」", "।", "·", "«", "» ", "׃ ", "\u3000", "…", " № ", " 50% ", " १२३ ", " ٤٥ ", " 7 "]


def script_texts(count, seed, vocabulary):
    """Texts of one or two scripts: words of the vocabulary, words of pieces of it, and words of random letters."""
    rng = random.Random(seed)
    letters = {
        name: [chr(p) for span in spans for p in range(*span) if unicodedata.category(chr(p))[0] in "LM"]
        for name, spans in SCRIPTS.items()
    }
    script_of = {letter: name for name, alphabet in letters.items() for letter in alphabet}
    words = {name: [] for name in SCRIPTS}
    for token in vocabulary:
        bare = token.removeprefix("##")
        if bare and bare[0] in script_of:
            words[script_of[bare[0]]].append(bare)

    def word(name):
        kind = rng.random()
        if kind < 0.35 and words[name]:
            return rng.choice(words[name])
        if kind < 0.55 and words[name]:
            return "".join(rng.choice(words[name]) for _ in range(rng.randint(2, 3)))
        return "".join(rng.choice(letters[name]) for _ in range(rng.choice([1, 2, 3, 5, 8, 13])))

    def cased(text):
        return rng.choice([str, str, str, str.title, str.upper])(text)

    names = list(SCRIPTS)
    texts = []
    for index in range(count):
        scripts = [names[index % len(names)]] * 4 + [rng.choice(names)] * rng.randint(0, 1)
        parts = []
        for _ in range(rng.randint(1, 14)):
            parts += [cased(word(rng.choice(scripts))), rng.choice(BETWEEN)]
        text = "".join(parts)
        texts.append(unicodedata.normalize(rng.choice(["NFC", "NFD"]), text) if rng.random() < 0.3 else text)
    return texts


def alphabets(odd):
    """Where fuzzed characters come from; each string mixes a few of these."""
    marks = [char for char in odd if is_mark(char)]
    spans = [(0x20, 0x7F), (0x0, 0x250), (0x250, 0x590), (0x590, 0x1000), (0x1000, 0x2000), (0x2000, 0x3000)]
    spans += [(0x3000, 0x3400), (0x4E00, 0x4F00), (0xA640, 0xAC00), (0xAC00, 0xAD00), (0xF900, 0x10000)]
    spans += [(0x10000, 0x12000), (0x16000, 0x17000), (0x1D000, 0x1D300), (0x1E000, 0x20000), (0xD7B0, 0xE000)]
    return [
        lambda rng: chr(rng.randrange(*rng.choice(spans))),
        lambda rng: chr(rng.randrange(0x110000)),
        lambda rng: chr(rng.randrange(0x61, 0x7B)),
        lambda rng: chr(rng.randrange(0x300, 0x370)),
        lambda rng: rng.choice(marks),
        lambda rng: rng.choice(odd),
        lambda rng: rng.choice(" \t\n.,!?-'\"#[]\u00a0\u3000"),
        lambda rng: rng.choice(["[SEP]", "[MASK]", "[CLS]", "<odd>", "<odd>>", "<od", "the", "ing", "not", "ΣΑΣ"]),
    ]


def is_mark(char):
    nfd = normalizers.NFD().normalize_str
    return nfd(char + "\u0334") == "\u0334" + char or nfd("\u0345" + char) == char + "\u0345"


def fuzzed(count, seed, odd):
    """Seeded strings of mixed alphabets, most of them short."""
    rng = random.Random(seed)
    sources = alphabets(odd)
    texts = []
    for _ in range(count):
        mixed = rng.sample(sources, rng.randint(1, 4))
        length = rng.choice([3, 8, 20, 40, 130 if rng.random() < 0.1 else 10])
        texts.append("".join(rng.choice(mixed)(rng) for _ in range(length)))
    return texts


def paired(text):
    """A pair of surrogates is one character in JavaScript, and two in Python."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def well_formed(text):
    return "".join("\ufffd" if 0xD800 <= ord(char) < 0xE000 else char for char in text)


def ids_of(tokenizer, texts):
    return [encoding.ids for encoding in tokenizer.encode_batch([well_formed(text) for text in texts])]


def rows(id_rows):
    return b"".join(struct.pack(f"<H{len(ids)}H", len(ids), *ids) for ids in id_rows)
