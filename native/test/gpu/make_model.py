"""Writes an ElectraClassifier checkpoint of random weights: config.json and model.safetensors.

    make_model.py FOLDER [large|tiny]

The weights are spread wide enough for logits to differ from text to text: with those of a fresh initialisation all
texts score alike, and a comparison of logits would prove nothing.
"""

import json
import struct
import sys
from pathlib import Path

import torch

SIZES = {
    "large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
    "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256},
}


def config_of(size):
    hidden = SIZES[size]["hidden_size"]
    return {
        "architectures": ["ElectraClassifier"],
        "model_type": "electra",
        "vocab_size": 30522,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "pad_token_id": 0,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "embedding_size": hidden,
        **SIZES[size],
        "hidden_dim": hidden,
        "num_layers": 2,
        "hidden_activation": "SwishGLU",
        "pooling": "mean",
        "dropout_rate": 0.3,
        "id2label": {"0": "negative", "1": "neutral", "2": "positive"},
        "label2id": {"negative": 0, "neutral": 1, "positive": 2},
    }


def shapes_of(config):
    """Names and shapes as the Python class has them; `classifier.layers` is linear, activation, dropout, and so on."""
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    shapes = {}

    def linear(name, out, size):
        shapes[f"{name}.weight"] = (out, size)
        shapes[f"{name}.bias"] = (out,)

    def norm(name):
        shapes[f"{name}.weight"] = (hidden,)
        shapes[f"{name}.bias"] = (hidden,)

    for table, rows in ("word", config["vocab_size"]), ("position", 512), ("token_type", 2):
        shapes[f"electra.embeddings.{table}_embeddings.weight"] = (rows, hidden)
    norm("electra.embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        layer = f"electra.encoder.layer.{i}"
        for part in "query", "key", "value":
            linear(f"{layer}.attention.self.{part}", hidden, hidden)
        linear(f"{layer}.attention.output.dense", hidden, hidden)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", wide, hidden)
        linear(f"{layer}.output.dense", hidden, wide)
        norm(f"{layer}.output.LayerNorm")
    for index in "0", "3":
        linear(f"classifier.layers.{index}", hidden, hidden)
    linear("classifier.layers.1.projection", 2 * hidden, hidden)
    linear("classifier.layers.6", 3, hidden)
    return shapes


def main():
    folder, size = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "large"
    folder.mkdir(parents=True, exist_ok=True)
    config = config_of(size)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(1)
    shapes = shapes_of(config)
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        count = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, at + count]}
        at += count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            values = torch.randn(shape, device=device)
            if "LayerNorm.weight" in name:
                values = 1 + 0.1 * values
            elif name.endswith("bias"):
                values *= 0.1
            elif "embeddings" not in name:
                values *= 1.3 / shape[1] ** 0.5
            file.write(values.half().cpu().numpy().tobytes())
    (folder / "config.json").write_text(json.dumps(config))


main()
