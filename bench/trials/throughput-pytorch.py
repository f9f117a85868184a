"""PyTorch: eager, or a frozen TorchScript trace where BENCH_TRACE names one; fp32, padded batches of 32 in file order
and sorted by length first, tokenized by Hugging Face's own library."""

import csv
import json
import os
import sys
import time

import torch

BATCH = 32
MAX_LENGTH = 512
SHAPES = [(1, 16), (1, 128), (8, 32), (32, 32)]


def load():
    if os.environ.get("BENCH_TRACE"):
        # As it is served in C++: the fusers that compile anew for each shape stay off.
        torch._C._jit_set_texpr_fuser_enabled(False)
        torch.jit.set_fusion_strategy([])
        trace = torch.jit.load(os.environ["BENCH_TRACE"])
        return lambda ids, mask: trace(ids, mask)
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, os.path.join(here, "..", "..", "scripts"))
    from reference_model import ElectraClassifier

    model = ElectraClassifier.from_pretrained(os.environ["BENCH_MODEL"], attn_implementation="sdpa").float().eval()
    return lambda ids, mask: model(input_ids=ids, attention_mask=mask)


def dense(forward):
    budget = float(os.environ["BENCH_SHAPE_SECONDS"])
    medians = {}
    for rows, length in SHAPES:
        ids = (1000 + (torch.arange(rows * length) * 7919) % 20000).view(rows, length)
        mask = torch.ones_like(ids)
        first = time.perf_counter()
        forward(ids, mask)
        # A trace is optimised in its second run.
        if time.perf_counter() - first < 0.5 or os.environ.get("BENCH_TRACE"):
            forward(ids, mask)
        times = []
        until = time.perf_counter() + budget
        while len(times) < 3 or time.perf_counter() < until:
            started = time.perf_counter()
            forward(ids, mask)
            times.append(time.perf_counter() - started)
        medians[f"{rows}×{length}"] = sorted(times)[len(times) // 2] * 1000
    return medians


def stream_texts():
    with open(os.environ["BENCH_TEXTS"], newline="", encoding="utf-8") as file:
        texts = [row["sentence"] for row in csv.DictReader(file)]
    count = min(int(os.environ.get("BENCH_SAMPLE") or 0) or len(texts), len(texts))
    return [texts[index * len(texts) // count] for index in range(count)]


def classify(forward, tokenizer, texts, by_length):
    rows = sorted(enumerate(tokenizer.encode_batch(texts)), key=lambda row: len(row[1].ids) if by_length else 0)
    labels = [0] * len(texts)
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        length = max(len(encoding.ids) for _, encoding in batch)
        ids = torch.tensor([encoding.ids + [0] * (length - len(encoding.ids)) for _, encoding in batch])
        best = forward(ids, (ids != 0).long()).argmax(-1).tolist()
        for (index, _), label in zip(batch, best):
            labels[index] = label
    return labels


def stream(forward, tokenizer, texts, by_length):
    classify(forward, tokenizer, texts[:64], by_length)
    started = time.perf_counter()
    labels = classify(forward, tokenizer, texts, by_length)
    return {"seconds": time.perf_counter() - started, "texts": len(texts), "labels": "".join(map(str, labels))}


def main():
    from tokenizers import Tokenizer

    torch.set_num_threads(int(os.environ["BENCH_THREADS"]))
    torch.set_num_interop_threads(1)
    with torch.inference_mode():
        forward = load()
        result = {"dense": dense(forward)}
        tokenizer = Tokenizer.from_file(os.path.join(os.environ["BENCH_MODEL"], "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_LENGTH)
        texts = stream_texts()
        result["file"] = stream(forward, tokenizer, texts, by_length=False)
        result["sorted"] = stream(forward, tokenizer, texts, by_length=True)
    print(json.dumps(result))


main()
