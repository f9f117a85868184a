"""Writes test/fixtures/tokens/: what Python `tokenizers` makes of ordinary and of strange texts.

    python scripts/make_token_goldens.py

`*.rows` hold rows of ids as little-endian 16-bit numbers: the row's length, then its ids.
`strange.json` holds the strange texts; a lone surrogate in them is U+FFFD for Python, which takes none.
`code-points.json` holds, for each tokenizer, hashes of the ids of every code point, 4,096 at a time.
`odd-tokenizer.json` is a tokenizer whose vocabulary shows what the usual one hides behind [UNK]: every mark that
is not stripped, every character that another one is normalized to, two added tokens.
"""

import csv
import hashlib
import json
import random
import struct
from pathlib import Path

from tokenizers import Tokenizer, normalizers
from tokenizers.implementations import BertWordPieceTokenizer

ROOT = Path(__file__).parent.parent
OUT = ROOT / "test" / "fixtures" / "tokens"
MODEL = ROOT / "models" / "sentiment-minilm-l6"
SENTENCES = ROOT / ".." / "shared" / "data" / "val_with_electra_preds.csv"
BLOCK = 4096

# How each golden tokenizer's normalizer differs from its file.
VARIANTS = {
    "uncased": {},
    "cased": {"lowercase": False},
    "accents": {"strip_accents": False},
    "cased-stripped": {"lowercase": False, "strip_accents": True},
    "raw": {"clean_text": False, "handle_chinese_chars": False},
}

STRANGE = [
    "",
    " ",
    "\n\t\r \u00a0\u3000",
    "\u200b\u0000\ufffd",
    "I love this restaurant!",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪 ☺️ 😀",
    "中文 and 日本語のテキスト、漢字。한국어 텍스트입니다",
    "café cafe\u0301 CAFE\u0301 naïve Ångström \u212b ﬁne №",
    "ΟΔΥΣΣΕΥΣ Σ σ ς ΣΑΣ ΑΣ. ΑΣ́",
    "İstanbul DIYARBAKIR ılık i̇ I\u0307",
    "STRASSE ẞ straße ǅ Ǆ ǆ ŉ",
    "각 각 \u1100\u1161\u11a8 힣",
    "مرحبا بالعالم، كَيْفَ حَالُكَ؟ شلومשָׁלוֹם",
    "สวัสดีชาวโลก ภาษาไทย नमस्ते दुनिया தமிழ்",
    "a\u0000b\u0007c\u001fd\u007fe\u0085f\u009fg\u00adh\u200bi\u200dj\u2028k\u2029l\ufeffm",
    "lone \ud83d high, \ude00 low, \ude00\ud83d swapped, \ud83d\ud83d\ude00 pair after one",
    "\ud800",
    "a" * 10000,
    ("antidisestablishmentarianism" * 400)[:10000],
    "é" * 10000 + " fin",
    "\u4e2d" * 3000,
    "x" * 99 + " " + "y" * 100 + " " + "z" * 101,
    "é" * 100 + " " + "e\u0301" * 100 + " " + "e\u0301" * 101,
    "e" + "\u0301" * 5000 + "f",
    "\u0301\u0316\u0327" * 300 + "a",
    "\u302e\u302f" * 60 + "\U0001d165\u1dfb\u302e",
    "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "a[SEP]b[MASK][MASK]c [sep] [ SEP ] [[SEP]] [SEP",
    "[MASK]\u0301 e[MASK]\u0301",
    "don't can't it's — “quoted” ‘single’ … 50% $5 #tag @user http://a.b/c?d=e&f=g",
    "≠ ≮ ≯ \u037e \u1fef \u2000\u2001 \u2260\u226e",
    "\U0001d15e\U0001d15f\U0001d160 \U0001d165\U0001d16d\U0001d16e",
    "豈更\uf900\ufa0e\U0002f800 \u9fff\u3400\U00020000\U0002a6e0",
    "\u061d\u0890\u08d4 \U0001e900 \U0001e943 \uab70 \u13a0 Ꭰ",
    "\ufdd0\uffff\U0001fffe \ue000 \U000f0000 \U0010ffff",
    "e\u0301\u034f\u0316\u034f\u302e\u0316\u302f",
]


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


def odd_tokenizer():
    """A tokenizer.json in which next to nothing that normalization makes is unknown, and its special characters."""
    targets, marks = set(), []
    forms = [
        normalizers.BertNormalizer(True, False, strip, lower) for strip in (True, False) for lower in (True, False)
    ]
    for point in (p for p in range(0x110000) if not 0xD800 <= p < 0xE000):
        char = chr(point)
        for form in forms:
            normal = form.normalize_str(char)
            if normal != char:
                targets.update(normal)
        if is_mark(char) and forms[0].normalize_str(char) == char:
            marks.append(char)
    chars = sorted(targets | set(marks) | set(map(chr, range(0x21, 0x7F))))
    spellings = ["<pad>", "<unk>", "<s>", "</s>"] + [prefix + char for char in chars for prefix in ("", "~~")]
    spellings += ["the", "th", "~~ing", "no", "~~ot", "σ" * 2, "~~ᅡᆨ", "ab", "abc", "~~bcd"]
    vocab = {}
    for spelling in spellings:
        vocab.setdefault(spelling, len(vocab))
    plain = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    added = [{"id": vocab[token], "content": token, **plain} for token in ("<pad>", "<unk>", "<s>", "</s>")]
    added.append({"id": len(vocab), "content": "<odd>", **plain, "lstrip": True})
    added.append({"id": len(vocab) + 1, "content": "<odd>>", **plain, "rstrip": True})
    special = {token: {"id": token, "ids": [vocab[token]], "tokens": [token]} for token in ("<s>", "</s>")}
    before, text, after = [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    ]
    return chars, {
        "version": "1.0",
        # Sections that are not followed: the caller says how long rows are.
        "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [before, text, after],
            "pair": [before, text, after, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": special,
        },
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "<unk>",
            "continuing_subword_prefix": "~~",
            "max_input_chars_per_word": 12,
            "vocab": vocab,
        },
    }


def variant(file, changes):
    changed = {**file, "normalizer": {**file["normalizer"], **changes}, "truncation": None, "padding": None}
    return Tokenizer.from_str(json.dumps(changed))


def code_point_hashes(tokenizer):
    hashes = []
    for start in range(0, 0x110000, BLOCK):
        text = "".join(f"a{chr(point)}b {chr(point)} " for point in range(start, start + BLOCK))
        [ids] = ids_of(tokenizer, [text])
        hashes.append(hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).hexdigest()[:8])
    return hashes


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    model = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    odd_chars, odd = odd_tokenizer()
    (OUT / "odd-tokenizer.json").write_text(json.dumps(odd, ensure_ascii=False, separators=(",", ":")), "utf-8")

    with SENTENCES.open(encoding="utf-8", newline="") as file:
        sentences = [row["sentence"] for row in csv.DictReader(file)]
    (OUT / "sentences.rows").write_bytes(rows(ids_of(variant(model, {}), sentences)))

    texts = [paired(text) for text in STRANGE + fuzzed(2000, 5, odd_chars)]
    (OUT / "strange.json").write_text(json.dumps(texts, separators=(",", ":")) + "\n", "ascii")
    hashes = {}
    for name, changes in VARIANTS.items():
        for kind, file in (("model", model), ("odd", odd)):
            tokenizer = variant(file, changes)
            (OUT / f"strange.{kind}.{name}.rows").write_bytes(rows(ids_of(tokenizer, texts)))
            hashes[f"{kind}.{name}"] = code_point_hashes(tokenizer)
    (OUT / "code-points.json").write_text(json.dumps(hashes, separators=(",", ":")) + "\n", "ascii")

    for name, lowercase in {"uncased": True, "cased": False}.items():
        vocabulary = BertWordPieceTokenizer(str(MODEL / "vocab.txt"), lowercase=lowercase)
        # No rows of their own: a vocab.txt by itself gives those of the tokenizer.json made from it.
        assert ids_of(vocabulary, texts) == ids_of(variant(model, {"lowercase": lowercase}), texts), name

    size = sum(file.stat().st_size for file in OUT.iterdir())
    print(f"{OUT.relative_to(ROOT)}: {len(sentences):,} sentences, {len(texts):,} strange texts, {size:,} bytes")


if __name__ == "__main__":
    main()
