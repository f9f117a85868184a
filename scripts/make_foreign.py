"""Makes test/fixtures/foreign/: archives as others make them, which the script engine must run or refuse.

    python scripts/make_foreign.py

Run it once with each major of transformers: a trace is named after the one that made it. Needs torch, transformers,
safetensors and electra-classifier from pip. Deterministic: the same versions write the same files.
"""

import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Dict, Optional

import torch
import transformers
from random_models import ToDict, ToTensor, ToTuple, load_checkpoint, logits_of, make_model, rewrite, save_checkpoint, save_plain_trace

FOREIGN = Path(__file__).parent.parent / "test" / "fixtures" / "foreign"
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *".,!?'-:"]
LABELS = {0: "a", 1: "b", 2: "c"}
SIZES = {
    "vocab_size": len(VOCAB), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 40, "id2label": LABELS, "label2id": {label: id for id, label in LABELS.items()},
}  # fmt: skip
HEAD = {"hidden_activation": "SwishGLU", "hidden_dim": 16, "num_layers": 2, "dropout_rate": 0.1, "pooling": "mean"}
LENGTHS = [1, 2, 3, 5, 5, 8, 13, 21, 34, 40, 4]
MAJOR = int(transformers.__version__.split(".")[0])


def config_of(architecture):
    if architecture == "BertForSequenceClassification":
        config = transformers.BertConfig(**SIZES)
    else:
        config = transformers.ElectraConfig(**SIZES, embedding_size=16, **(HEAD if architecture == "ElectraClassifier" else {}))
    config.architectures = [architecture]
    return config


def rows():
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, len(VOCAB), (length,), generator=generator).tolist() for length in LENGTHS]


def write_beside(folder, config, logits=None):
    (folder / "config.json").write_text(json.dumps(config) + "\n")
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    if logits is not None:
        values = [[round(value, 7) for value in row] for row in logits.tolist()]
        golden = [{"input_ids": ids, "logits": row} for ids, row in zip(rows(), values)]
        (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def fresh(name):
    folder = FOREIGN / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def make_trace(name, architecture, attn, output):
    config = config_of(architecture)
    with tempfile.TemporaryDirectory() as checkpoint:
        save_checkpoint(make_model(config, 5), Path(checkpoint))
        model = load_checkpoint(Path(checkpoint), attn)
    folder = fresh(name)
    save_plain_trace(model, folder / "model.pt", output)
    write_beside(folder, {**json.loads(config.to_json_string()), "transformers_version": transformers.__version__}, logits_of(model, rows()))


def make_elsewhere(name, source):
    """The same trace as a machine with a card would have written it."""
    folder = fresh(name)
    shutil.copytree(FOREIGN / source, folder, dirs_exist_ok=True)

    def change(code):
        return code.replace('torch.device("cpu")', 'torch.device("cuda:0")')

    rewrite(folder / "model.pt", change)


class Scripted(torch.nn.Module):
    """Other names, defaults, an optional mask, and every way to name a device; gives a dictionary."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.embedding = torch.nn.Embedding(len(VOCAB), 8)
        self.output = torch.nn.Linear(8, 3)
        self.place = torch.device("cpu")
        self.place_name = "cpu"

    def forward(self, tokens: torch.Tensor, keep: Optional[torch.Tensor] = None, scale: float = 1.0) -> Dict[str, torch.Tensor]:
        x = self.embedding(tokens.to(torch.device("cpu")).cpu())
        if keep is not None:
            x = x.masked_fill(keep.unsqueeze(-1) == 0, -3.4e38).relu() * keep.unsqueeze(-1).float()
        x = x + torch.zeros([8], dtype=torch.float, device=self.place) + torch.ones([8], dtype=torch.float, device=torch.device("cpu", 0))
        bias = torch.arange(3, dtype=torch.float, device=torch.device(self.place_name))
        return {"logits": self.output(x.amax(1)) * scale + bias}


class HoldsToFp32(Scripted):
    """What is made without a dtype is fp32, whatever the weights are."""

    def forward(self, tokens: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return self.output(torch.zeros([tokens.size(0), 8]) + self.embedding(tokens).sum(1))


class TypesSecond(Scripted):
    def forward(self, input_ids: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        return self.output((self.embedding(input_ids) * token_type_ids.unsqueeze(-1)).sum(1))


class NoLogits(Scripted):
    def forward(self, tokens: torch.Tensor, keep: torch.Tensor) -> Dict[str, torch.Tensor]:
        return {"scores": self.output(self.embedding(tokens).sum(1))}


class WithDropout(Scripted):
    """Traced as it is in training."""

    def forward(self, tokens: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return self.output(torch.nn.functional.dropout((self.embedding(tokens) * keep.unsqueeze(-1)).sum(1), 0.5, training=True))


def make_scripts():
    config = {**json.loads(config_of("ElectraClassifier").to_json_string()), "architectures": ["Scripted"]}
    scripted = torch.jit.script(Scripted().eval())
    with torch.no_grad():
        logits = torch.cat([scripted(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.long))["logits"] for row in rows()])
    others = {
        "frozen": torch.jit.freeze(scripted), "holds-to-fp32": torch.jit.script(HoldsToFp32().eval()),
        "types-second": torch.jit.script(TypesSecond().eval()), "no-logits": torch.jit.script(NoLogits().eval()),
        "with-dropout": torch.jit.script(WithDropout().eval()),
    }  # fmt: skip
    for name, module in {"scripted": scripted, "scripted-elsewhere": scripted, **others}.items():
        folder = fresh(name)
        module.save(folder / "model.pt")
        elsewhere = name.endswith("elsewhere")
        rewrite(folder / "model.pt", (lambda code: code.replace('"cpu"', '"cuda"').replace("torch.cpu(", "torch.cuda(")) if elsewhere else str)
        write_beside(folder, config, logits if name.startswith(("scripted", "frozen")) else None)


def main():
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if MAJOR == 4:
        # Its ELECTRA has no sdpa; its BERT has.
        make_trace("electra-4-eager", "ElectraClassifier", "eager", ToTensor)
        make_trace("sequence-4-eager", "ElectraForSequenceClassification", "eager", ToTuple)
        make_trace("bert-4-sdpa", "BertForSequenceClassification", "sdpa", ToTensor)
        make_elsewhere("bert-4-sdpa-elsewhere", "bert-4-sdpa")
    else:
        make_trace(f"electra-{MAJOR}-sdpa", "ElectraClassifier", "sdpa", ToTensor)
        make_trace(f"electra-{MAJOR}-eager", "ElectraClassifier", "eager", ToTensor)
        make_trace(f"sequence-{MAJOR}-sdpa", "ElectraForSequenceClassification", "sdpa", ToDict)
        make_elsewhere(f"electra-{MAJOR}-eager-elsewhere", f"electra-{MAJOR}-eager")
        make_elsewhere(f"electra-{MAJOR}-sdpa-elsewhere", f"electra-{MAJOR}-sdpa")
        make_scripts()


main()
