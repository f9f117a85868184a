"""Compares lib/tokenizer.ts with Python `tokenizers`, id for id, under each Node that is named.

    python scripts/check_tokenizer.py [NODE …] [--count 100000]

Texts of fifteen scripts (English ones from ../shared/data where that is there), as many fuzzed strings over all of
Unicode, and pairs of both under limits of many lengths; each by three tokenizers: the uncased one that ships, one
whose vocabulary shows what the usual one hides behind [UNK], and a cased one whose vocabulary is made of the texts.
Python takes no ill-formed text: there a lone surrogate is U+FFFD, which ours must make of it. Seeded, so that each run
compares the same texts. Ends with 1 where any id, token type or length differs.
"""

import argparse
import collections
import csv
import io
import json
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from token_texts import SCRIPTS, fuzzed, paired, rows, script_texts, well_formed
from tokenizers import Tokenizer

ROOT = Path(__file__).parent.parent
DATA = ROOT / ".." / "shared" / "data"
LIMITS = [3, 4, 5, 8, 9, 16, 17, 33, 64, 128, None]
CHUNK = 5000


def english(count):
    """Real sentences, as far as there are any."""
    if not (DATA / "train.tar.xz").exists():
        print("no English sentences: ../shared/data is not there")
        return []
    with tarfile.open(DATA / "train.tar.xz") as archive:
        file = archive.extractfile("unlabelled/dynasent_r1_train_texts.csv")
        texts = [row["text"] for row in csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""))]
    with (DATA / "val_with_electra_preds.csv").open(encoding="utf-8", newline="") as file:
        texts += [row["sentence"] for row in csv.DictReader(file)]
    return random.Random(1).sample(texts, min(count, len(texts)))


def cased(template, texts):
    """The shipped tokenizer without its lower case, and with a vocabulary of the texts' own words, pieces and letters."""
    definition = {**template, "normalizer": {**template["normalizer"], "lowercase": False, "strip_accents": None}}
    parts = Tokenizer.from_str(json.dumps(definition))
    words = collections.Counter()
    for text in texts:
        words.update(word for word, _ in parts.pre_tokenizer.pre_tokenize_str(parts.normalizer.normalize_str(text)))
    letters = collections.Counter()
    for word, number in words.items():
        letters.update(dict.fromkeys(word, number))
    ranked = sorted(words, key=lambda word: (-words[word], word))[:12000]
    common = sorted(letters, key=lambda letter: (-letters[letter], letter))[:9000]
    rng = random.Random(2)
    pieces = [word[at : at + rng.randint(2, 5)] for word in ranked for at in [rng.randrange(len(word))]]
    special = [token["content"] for token in template["added_tokens"]]
    spelled = special + common + ["##" + letter for letter in common] + ranked + ["##" + piece for piece in pieces]
    vocab = {token: index for index, token in enumerate(dict.fromkeys(spelled))}
    ids = {token: vocab[token] for token in special}
    return {
        **definition,
        "added_tokens": [{**token, "id": ids[token["content"]]} for token in template["added_tokens"]],
        "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", ids["[CLS]"]], "sep": ["[SEP]", ids["[SEP]"]]},
        "model": {**template["model"], "vocab": vocab},
    }


def encoded(tokenizer, inputs):
    for start in range(0, len(inputs), CHUNK):
        yield from tokenizer.encode_batch_fast(inputs[start : start + CHUNK])


def pair_rows(tokenizer, pairs, texts):
    """Ids and token types of each pair in turn."""
    found = [None] * (2 * len(pairs))
    for limit in LIMITS:
        places = [place for place, pair in enumerate(pairs) if pair[2] == limit]
        if limit is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(limit, strategy="longest_first")
        inputs = [(texts[pairs[place][0]], texts[pairs[place][1]]) for place in places]
        for place, encoding in zip(places, encoded(tokenizer, inputs), strict=True):
            found[2 * place : 2 * place + 2] = encoding.ids, encoding.type_ids
    tokenizer.no_truncation()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nodes", nargs="*", default=["node"], help="paths of node; default: the one on the PATH")
    parser.add_argument("--count", type=int, default=100_000, help="texts, and as many fuzzed strings")
    given = parser.parse_args()

    model = json.loads((ROOT / "models" / "sentiment-minilm-l6" / "tokenizer.json").read_text("utf-8"))
    odd = json.loads((ROOT / "test" / "fixtures" / "tokens" / "odd-tokenizer.json").read_text("utf-8"))
    sentences = english(given.count * 3 // 10)
    ordinary = sentences + script_texts(given.count - len(sentences), 3, model["model"]["vocab"])
    strange = fuzzed(given.count, 4, [token for token in odd["model"]["vocab"] if len(token) == 1])
    texts = [paired(text) for text in ordinary + strange]
    rng = random.Random(5)
    pairs = [
        [rng.randrange(len(texts)), rng.randrange(len(texts)), LIMITS[index % len(LIMITS)]]
        for index in range(given.count // 2)
    ]
    tokenizers = {"uncased": model, "odd": odd, "cased": cased(model, texts[: given.count : 5])}
    print(
        f"{len(ordinary):,} texts ({len(sentences):,} English sentences, the rest in {len(SCRIPTS)} scripts), "
        f"{len(strange):,} fuzzed strings, {len(pairs):,} pairs"
    )

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "texts.json").write_text(json.dumps(texts), "ascii")
        (folder / "pairs.json").write_text(json.dumps(pairs), "ascii")
        readable = [well_formed(text) for text in texts]
        for name, definition in tokenizers.items():
            text = json.dumps({**definition, "truncation": None, "padding": None}, ensure_ascii=False)
            (folder / f"{name}.json").write_text(text, "utf-8")
            tokenizer = Tokenizer.from_str(text)
            found = [encoding.ids for encoding in encoded(tokenizer, readable)]
            (folder / f"{name}.texts.rows").write_bytes(rows(found))
            (folder / f"{name}.pairs.rows").write_bytes(rows(pair_rows(tokenizer, pairs, readable)))
            unknown = tokenizer.token_to_id(definition["model"]["unk_token"])
            tokens = sum(map(len, found))
            share = sum(ids.count(unknown) for ids in found) / tokens
            print(f"  {name}: {len(definition['model']['vocab']):,} entries; {tokens:,} tokens, {share:.1%} unknown")
        same = True
        for node in given.nodes:
            start = time.monotonic()
            # The module hook compiles TypeScript; the engine that runs it is the one that was named.
            command = [node, "--import", "tsx", "scripts/check-tokenizer.ts", str(folder), *tokenizers]
            same &= subprocess.run(command, cwd=ROOT).returncode == 0
            print(f"  {time.monotonic() - start:.0f} s", flush=True)
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
