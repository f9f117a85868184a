"""Traces a classifier into one TorchScript archive that electra-classifier, Python and Triton run.

    python scripts/trace.py SOURCE OUT.pt [--attn sdpa|eager]

SOURCE is a hub id or a folder in Hugging Face layout. Needs torch, transformers and electra-classifier from pip.

The archive's forward(input_ids, attention_mask) gives logits [batch, num_labels], for any batch and length, on any
device; config.json and the tokenizer's files lie inside it. Before OUT.pt gets its name, what was written is loaded
again and compared with the model on the CPU: other batches and lengths than the traced one, and padded rows. Exits
with 1 where a check fails, and with 2 where there is nothing to trace; both leave no file.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.utils import cached_file

# What the loader looks for inside an archive.
FILES = ["config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json"]
# Against the model itself, for logits of a few units; in proportion where they are larger.
TOLERANCE = 1e-4


class Failed(Exception):
    """A check failed."""


class ToLogits(torch.nn.Module):
    """Inputs by position, as TorchScript and Triton pass them, and logits alone as the output."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        output = self.model(input_ids=input_ids, attention_mask=attention_mask)
        return output if isinstance(output, torch.Tensor) else output.logits


def load_model(source, attn):
    """In fp32 and eval mode, with the attention asked for, else sdpa where the class has it."""
    config = AutoConfig.from_pretrained(source)
    if "ElectraClassifier" in (config.architectures or []):
        from reference_model import ElectraClassifier as model_class
    else:
        model_class = AutoModelForSequenceClassification
    for choice in [attn] if attn else ["sdpa", "eager"]:
        try:
            return model_class.from_pretrained(source, attn_implementation=choice).float().eval(), choice
        except ValueError as error:
            if attn or choice == "eager" or "scaled_dot_product_attention" not in str(error):
                raise


def read_files(source):
    """Config and tokenizer as they stand, so that ids are those of the model as published."""
    files = {}
    for name in FILES:
        path = cached_file(source, name, _raise_exceptions_for_missing_entries=name == "config.json")
        if path:
            files[name] = Path(path).read_text(encoding="utf-8")
    if "tokenizer.json" not in files and "vocab.txt" not in files:
        raise OSError(f"{source} has no tokenizer.json and no vocab.txt; copy one from the model it was tuned from.")
    return files


def make_inputs(config, lengths, seed):
    """Random ids, and a mask that ends each row at its length."""
    ids = torch.randint(0, config.vocab_size, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).long()
    return ids.where(mask.bool(), config.pad_token_id or 0), mask


def trace(model):
    """Of padded rows, because transformers leaves the mask out where it sees none."""
    with warnings.catch_warnings():
        # Of Python branches, which the checks look at by running the trace on other shapes.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(ToLogits(model), make_inputs(model.config, [9, 5], 0), check_trace=False)
    for graph in graphs_of(traced):
        follow_input_device(graph)
    return traced


def graphs_of(traced):
    """Each module has its own; containers have none."""
    return [module.graph for module in traced.modules() if module._c._has_method("forward")]


def device_constants(graph):
    return [node.output() for node in graph.findAllNodes("prim::Constant") if node.output().type().kind() == "DeviceObjType"]


def follow_input_device(graph):
    """Devices of the tracing machine, which transformers writes down, become the device of the graph's own input."""
    tensors = [value for value in graph.inputs() if value.type().isSubtypeOf(torch._C.TensorType.get())]
    constants = device_constants(graph)
    if not tensors or not constants:
        return
    device = graph.create("prim::device", [tensors[0]], 1)
    device.output().setType(constants[0].type())
    graph.prependNode(device)
    for constant in constants:
        constant.replaceAllUsesWith(device.output())
        constant.node().destroy()


def check(model, traced, say):
    """Compares the archive with the model, on the CPU; raises Failed where they differ."""
    longest = min(model.config.max_position_embeddings, 512)

    def compare(what, lengths, seed):
        ids, mask = make_inputs(model.config, lengths, seed)
        expected = ToLogits(model)(ids, mask)
        difference = (traced(ids, mask) - expected).abs().max().item()
        say(f"check: {what}: largest difference {difference:.1e}")
        # Not `difference > …`: NaN must fail.
        if not difference <= TOLERANCE * max(1, expected.abs().max().item()):
            raise Failed(f"the trace gives other logits than the model for {what}; it holds for one shape only.")
        return ids, mask, expected

    compare("the shape it was traced with, 2 × 9, other tokens", [9, 9], 1)
    compare("another batch and length, 5 × 31", [31] * 5, 2)
    compare("one row of one token", [1], 3)
    compare(f"one row of {longest} tokens", [longest], 4)
    lengths = [2, 29, 7, 17, 1, 23]
    ids, mask, together = compare(f"{len(lengths)} padded rows of {min(lengths)} to {max(lengths)} tokens", lengths, 5)
    alone = torch.cat([traced(ids[i : i + 1, :length], mask[i : i + 1, :length]) for i, length in enumerate(lengths)])
    leak = (together - alone).abs().max().item()
    say(f"check: the same rows, each alone without padding: largest difference {leak:.1e}")
    if not leak <= TOLERANCE * max(1, together.abs().max().item()):
        say("note: padding changes what this model itself gives, as max pooling does; electra-classifier sees that at load and scores rows of unequal length apart.")


def write_trace(source, out, attn=None, say=print):
    """Traces, writes, checks. Raises Failed, or what transformers raises where there is no such model."""
    files = read_files(source)
    model, attn = load_model(source, attn)
    say(f"model: {type(model).__name__}, {attn} attention; torch {torch.__version__}, transformers {transformers.__version__}")
    out = Path(out)
    partial = f"{out}.{os.getpid()}.partial"
    try:
        trace(model).save(partial, _extra_files=files)
        traced = torch.jit.load(partial, map_location="cpu")
        devices = sorted({constant.node().s("value") for graph in graphs_of(traced) for constant in device_constants(graph)})
        say(f"devices written into the graph: {', '.join(devices) or 'none'}")
        say(f"inside: {', '.join(files)}")
        check(model, traced, say)
        os.replace(partial, out)
    finally:
        Path(partial).unlink(missing_ok=True)
    say(f"wrote {out}, {out.stat().st_size / 1e6:.1f} MB")


def main():
    parser = argparse.ArgumentParser(description="Traces a classifier into one TorchScript archive.")
    parser.add_argument("source", help="hub id, or folder in Hugging Face layout")
    parser.add_argument("out", help="the archive to write, a name that ends in .pt")
    parser.add_argument("--attn", choices=["sdpa", "eager"], help="attention implementation (default: sdpa where the model's class has it, else eager)")
    arguments = parser.parse_args()
    if Path(arguments.out).suffix != ".pt":
        parser.error(f"OUT must end in .pt, not {arguments.out}")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore", FutureWarning)
    try:
        with torch.inference_mode():
            write_trace(arguments.source, arguments.out, arguments.attn)
    except Failed as error:
        print(f"trace.py: failed: {error}", file=sys.stderr)
        sys.exit(1)
    except (OSError, ValueError) as error:
        print(f"trace.py: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
