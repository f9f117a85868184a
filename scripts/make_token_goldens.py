"""Writes test/fixtures/tokens/: what Python `tokenizers` makes of ordinary and of strange texts.

    python scripts/make_token_goldens.py

`*.rows` hold rows of ids as little-endian 16-bit numbers: the row's length, then its ids.
`strange.json` holds the strange texts; a lone surrogate in them is U+FFFD for Python, which takes none.
`scripts.json` holds texts of many scripts.
`pairs.json` holds pairs of texts, each with the longest row allowed; its rows are ids and token types in turn, as
transformers truncates them with `longest_first`.
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

from token_texts import fuzzed, ids_of, is_mark, paired, rows, script_texts, well_formed
from tokenizers import Tokenizer, normalizers
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import PreTrainedTokenizerFast

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


def pairs_of(texts):
    """Lengths around every limit, then strange and ordinary texts beside each other."""
    pairs = [
        {"text": " good" * first, "text_pair": "bad " * second, "max_length": longest}
        for first in range(7)
        for second in range(7)
        for longest in range(3, 12)
    ]
    rng = random.Random(11)
    for longest in [3, 4, 7, 8, 9, 16, 17, 33, 64, 65, 512, None] * 50:
        text, text_pair = rng.choice(texts), rng.choice(texts)
        pairs.append({"text": text, "text_pair": text_pair, "max_length": longest})
    return pairs


def pair_rows(tokenizer, pairs):
    """In batches of one, for transformers takes an empty second text outside a batch for none."""
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    found = []
    for pair in pairs:
        limit = {} if pair["max_length"] is None else {"truncation": "longest_first", "max_length": pair["max_length"]}
        texts = [[well_formed(pair["text"])], [well_formed(pair["text_pair"])]]
        encoding = fast(*texts, return_token_type_ids=True, verbose=False, **limit)
        found += [encoding["input_ids"][0], encoding["token_type_ids"][0]]
    return found


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
    ordinary = script_texts(600, 6, model["model"]["vocab"])
    (OUT / "scripts.json").write_text(json.dumps(ordinary, separators=(",", ":")) + "\n", "ascii")
    pairs = pairs_of(texts[len(STRANGE) :] + STRANGE[:14] + ordinary)
    (OUT / "pairs.json").write_text(json.dumps(pairs, separators=(",", ":")) + "\n", "ascii")
    for kind, file in (("model", model), ("odd", odd)):
        (OUT / f"scripts.{kind}.rows").write_bytes(rows(ids_of(variant(file, {}), ordinary)))
        (OUT / f"pairs.{kind}.rows").write_bytes(rows(pair_rows(variant(file, {}), pairs)))
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
