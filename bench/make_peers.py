"""Writes what the peers load from an ElectraClassifier checkpoint, into a folder:

    python bench/make_peers.py CHECKPOINT OUT

    onnx/model.onnx            fp32, dynamic in batch and length
    onnx/model_quantized.onnx  the same with int8 weights, by onnxruntime's quantize_dynamic
    trace.pt                   a frozen TorchScript trace, fp32

and config.json and tokenizer beside them, which is the layout that transformers.js reads. Needs what bench/requirements.txt
lists. A trace that froze a shape would show here, for another shape is compared.
"""

import os
import shutil
import sys
import warnings

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts"))
from reference_model import ElectraClassifier  # noqa: E402


class WithoutKeywords(torch.nn.Module):
    """Exporters pass inputs by position; the model's second one is not the mask."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask)


def inputs(rows, length):
    ids = torch.randint(1000, 2000, (rows, length))
    mask = torch.ones_like(ids)
    mask[-1, length // 2 :] = 0
    return ids, mask


def make_onnx(source, out):
    model = ElectraClassifier.from_pretrained(source, attn_implementation="eager").float().eval()
    axes = {0: "batch", 1: "length"}
    torch.onnx.export(
        WithoutKeywords(model),
        inputs(2, 9),
        out,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def make_quantized(onnx, out):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(onnx, out, weight_type=QuantType.QInt8)


def make_trace(source, out):
    model = WithoutKeywords(ElectraClassifier.from_pretrained(source, attn_implementation="sdpa").float()).eval()
    with torch.inference_mode(False), torch.no_grad():
        trace = torch.jit.freeze(torch.jit.trace(model, inputs(2, 9), check_trace=False))
        other = inputs(3, 17)
        expected, got = model(*other), trace(*other)
        # Random heads give logits of any size, so the difference is taken relative to them.
        if not torch.allclose(expected, got, rtol=1e-3, atol=1e-3 * float(expected.abs().max())):
            raise SystemExit(f"the trace gives other logits at another shape: {expected} and {got}")
        trace.save(out)


def main():
    source, folder = sys.argv[1:3]
    warnings.filterwarnings("ignore")
    os.makedirs(os.path.join(folder, "onnx"), exist_ok=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(source, name), folder)

    def make(name, write, *arguments):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            partial = path + ".partial"
            write(*arguments, partial)
            os.replace(partial, path)
        return path

    onnx = make("onnx/model.onnx", make_onnx, source)
    make("onnx/model_quantized.onnx", make_quantized, onnx)
    make("trace.pt", make_trace, source)


main()
