"""What the card can do, what PyTorch does on it, and what share of either was measured.

    report.py LARGE_FOLDER MEASURED SECONDS

LARGE_FOLDER: what make_model.py wrote. MEASURED: the output of electra_gpu_test. No peer is begun after SECONDS.
Without a card, PyTorch is run once on the CPU, so that the script itself is tested.
"""

import json
import re
import struct
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
START = time.monotonic()


def read_model(folder):
    """The weights as PyTorch eager runs them: bf16, query, key and value apart, as transformers' model has them."""
    config = json.loads((folder / "config.json").read_text())
    data = (folder / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    weights = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        tensor = torch.frombuffer(bytearray(data[8 + size + begin : 8 + size + end]), dtype=torch.float16)
        weights[name] = tensor.view(entry["shape"]).to(DEVICE, torch.bfloat16)
    return config, weights


class Peer(torch.nn.Module):
    """transformers' ElectraModel and the classifier's head, written with the operators that they run."""

    def __init__(self, config, weights):
        super().__init__()
        self.config = config
        for name, weight in weights.items():  # parameters, which torch.compile's graphs read where they are
            self.register_parameter(name.replace(".", "_"), torch.nn.Parameter(weight, requires_grad=False))

    def weight(self, name):
        return getattr(self, name.replace(".", "_"))

    def linear(self, name, x):
        return F.linear(x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"))

    def norm(self, name, x):
        weight = self.weight(f"{name}.weight")
        return F.layer_norm(x, weight.shape, weight, self.weight(f"{name}.bias"), 1e-12)

    def forward(self, ids, mask):
        rows, length = ids.shape
        heads = self.config["num_attention_heads"]
        tables = "electra.embeddings."
        x = F.embedding(ids, self.weight(tables + "word_embeddings.weight"))
        x = x + self.weight(tables + "token_type_embeddings.weight")[0]
        x = x + self.weight(tables + "position_embeddings.weight")[:length]
        x = self.norm(tables + "LayerNorm", x)
        seen = mask[:, None, None, :].bool()
        for i in range(self.config["num_hidden_layers"]):
            layer = f"electra.encoder.layer.{i}"
            parts = [
                self.linear(f"{layer}.attention.self.{part}", x).view(rows, length, heads, -1).transpose(1, 2)
                for part in ("query", "key", "value")
            ]
            context = F.scaled_dot_product_attention(*parts, attn_mask=seen).transpose(1, 2).reshape(x.shape)
            x = self.norm(f"{layer}.attention.output.LayerNorm", self.linear(f"{layer}.attention.output.dense", context) + x)
            wide = F.gelu(self.linear(f"{layer}.intermediate.dense", x))
            x = self.norm(f"{layer}.output.LayerNorm", self.linear(f"{layer}.output.dense", wide) + x)
        weight = mask[:, :, None].to(x.dtype)
        x = (x * weight).sum(1) / weight.sum(1)
        for index in "0", "3":
            a, b = self.linear("classifier.layers.1.projection", self.linear(f"classifier.layers.{index}", x)).chunk(2, -1)
            x = a * F.silu(b)
        return self.linear("classifier.layers.6", x).float()


def times_of(run, count):
    """Milliseconds of each call, result on the host."""
    times = []
    for i in range(count + 20):
        start = time.perf_counter()
        run().cpu()
        if i >= 20:
            times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)


def kernel_time(run):
    """Microseconds on the card, the median of 30 groups of 10 calls."""
    for _ in range(5):
        run()
    groups = []
    for _ in range(30):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(10):
            run()
        end.record()
        end.synchronize()
        groups.append(1e3 * begin.elapsed_time(end) / 10)
    return sorted(groups)[15]


def matmul_rate():
    a, b = (torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / (kernel_time(lambda: a @ b) * 1e-6)


def graphed(run):
    """Launched as a graph: of small kernels, what the card takes rather than what launching takes."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(10):
            run()
    return kernel_time(graph.replay) / 10


def kernels(tokens, length):
    """The kernels of one layer of the large size, by the calls that native/core makes."""
    def random(*shape):
        return torch.randn(*shape, device=DEVICE, dtype=torch.bfloat16)

    x, wide, qkv, residual = random(tokens, 1024), random(tokens, 4096), random(tokens, 3, 16, 64), random(tokens, 1024)
    w = {out: random(out, size) for out, size in ((3072, 1024), (1024, 1024), (4096, 1024))}
    b = {size: random(size) for size in (1024, 3072, 4096)}
    down = random(1024, 4096)
    offsets = torch.arange(0, tokens + 1, length, device=DEVICE, dtype=torch.int32)
    q, k, v = qkv.unbind(1)
    flash = torch.ops.aten._flash_attention_forward
    return {
        "query, key, value": lambda: F.linear(x, w[3072], b[3072]),
        "attention, flash": lambda: flash(q, k, v, offsets, offsets, length, length, 0.0, False, False),
        "attention, output, onto the residual": lambda: residual.addmm_(x, w[1024].t()),
        "intermediate and GELU's tanh": lambda: torch._addmm_activation(b[4096], x, w[4096].t(), use_gelu=True),
        "output, onto the residual": lambda: residual.addmm_(wide, down.t()),
        "LayerNorm": lambda: F.layer_norm(x, (1024,), b[1024], b[1024]),
        "beside them: attention, output, and a sum of its own": lambda: F.linear(x, w[1024], b[1024]).add_(x),
        "beside them: intermediate, and GELU of its own": lambda: F.gelu(F.linear(x, w[4096], b[4096])),
    }


def read_measured(path):
    lines = Path(path).read_text().splitlines()
    return {m[1]: float(m[2]) for m in (re.match(r"measured  (.*)  (\S+)  ", line) for line in lines) if m}


def show(name, value, target=None, at_most=True):
    met = "" if target is None else f"  target {target:g}: {'met' if (value <= target) == at_most else 'MISSED'}"
    print(f"{name:<64} {value:>12.4g}{met}", flush=True)


def main():
    folder, measured, seconds = Path(sys.argv[1]), read_measured(sys.argv[2]), float(sys.argv[3])
    config, weights = read_model(folder)
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name() if CUDA else 'no card'}")
    with torch.inference_mode():
        peer = Peer(config, weights).eval()
        if not CUDA:
            ids = torch.ones(1, 32, dtype=torch.long)
            print("skipped: rates, kernels and peers, because there is no card; logits:", peer(ids, ids))
            return
        rate = matmul_rate()
        show("bf16 matmul, TFLOP/s", rate / 1e12)
        for tokens, length in (32, 32), (128, 128), (16384, 128):
            print(f"\nkernels of a layer at {tokens} tokens, us")
            for name, run in kernels(tokens, length).items():
                show("  " + name, graphed(run) if tokens < 1000 else kernel_time(run))
        print("\nPyTorch beside it, one text, p50 in ms")
        for way in "eager", "torch.compile, reduce-overhead":
            run = peer if way == "eager" else torch.compile(peer, mode="reduce-overhead")
            for length in 32, 128:
                if time.monotonic() - START > seconds:
                    print(f"skipped: {way} at {length} tokens, because the time is up")
                    continue
                ids = torch.randint(1000, 30000, (1, length))
                mask = torch.ones_like(ids)
                times = times_of(lambda: run(ids.to(DEVICE), mask.to(DEVICE)), 300)
                show(f"{way}, {length} tokens", times[len(times) // 2])
                if way == "eager" and f"one text of {length} tokens, graphs, p50" in measured:
                    ours = measured[f"one text of {length} tokens, graphs, p50"]
                    show(f"  times faster than eager at {length} tokens", times[len(times) // 2] / ours, 8, False)

    print("\nThe engine")
    for length, target in (32, 1.0), (128, 1.3):
        p50 = measured.get(f"one text of {length} tokens, graphs, p50")
        p99 = measured.get(f"one text of {length} tokens, graphs, p99")
        if p50 is None or p99 is None:
            continue
        show(f"one text of {length} tokens, p50, ms (without Node)", p50, target)
        show(f"one text of {length} tokens, p99 / p50", p99 / p50, 1.5)
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    for what, length, target in ("texts of real length", 20, 0.45), ("texts of 128 tokens", 128, None):
        for way in "graphs", "eager":
            tokens = measured.get(f"{what}, {way}, tokens")
            if tokens is None:
                continue
            # Products of the layers, and attention's own, which for rows so short is next to nothing.
            flops = layers * (24 * hidden**2 + 4 * length * hidden)
            show(f"{what}, {way}, share of the matmul rate", tokens * flops / rate, target, False)
            show(f"{what}, {way}, sequences/s", measured[f"{what}, {way}, sequences"], 7000 if length == 128 else None, False)


main()
