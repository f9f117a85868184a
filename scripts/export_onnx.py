"""Writes an ElectraClassifier checkpoint as ONNX, fp32, for the benchmark's peers.

    python scripts/export_onnx.py models/sentiment-minilm-l6 out.onnx

Needs torch, transformers, electra-classifier and onnx from pip. The benchmark compares its labels with ours, so a
trace that froze a shape would show.
"""

import os
import sys
import warnings

import torch
from reference_model import ElectraClassifier


class WithoutKeywords(torch.nn.Module):
    """The exporter passes inputs by position; the model's second one is not the mask."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask)


def main():
    source, out = sys.argv[1:3]
    warnings.filterwarnings("ignore")
    model = ElectraClassifier.from_pretrained(source, attn_implementation="eager").float().eval()
    ids = torch.randint(1000, 2000, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    partial = out + ".partial"
    torch.onnx.export(
        WithoutKeywords(model),
        (ids, mask),
        partial,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_axes={"input_ids": {0: "batch", 1: "length"}, "attention_mask": {0: "batch", 1: "length"}, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    os.replace(partial, out)


main()
