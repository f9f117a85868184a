"""Models with random weights whose logits differ, their reference logits, and traces as somebody else makes them."""

import zipfile

import torch
import transformers
from reference_model import ElectraClassifier
from safetensors.torch import load_file, save_file


def class_named(name):
    return ElectraClassifier if name == "ElectraClassifier" else getattr(transformers, name)


@torch.no_grad()
def make_model(config, seed):
    """Freshly initialised weights (std 0.02) give nearly the same logits for every input, which proves nothing; these
    have a larger spread, and the last layer is scaled and centred so that logits are a few units and labels vary."""
    model = class_named(config.architectures[0])(config).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        spread = 0.1 if parameter.dim() == 1 or "embeddings" in name else 1.0 / parameter.shape[-1] ** 0.5
        centre = 1.0 if "LayerNorm.weight" in name else 0.0
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread + centre)
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    last.bias.zero_()
    ids = torch.randint(0, config.vocab_size, (32, 16), generator=generator)
    logits = logits_of(model, ids.tolist())
    last.weight.mul_(2 / logits.std(0).unsqueeze(1))
    last.bias.copy_(-logits.mean(0) * 2 / logits.std(0))
    return model


def save_checkpoint(model, folder):
    """As save_pretrained writes it: what modules share stands under its first name only."""
    folder.mkdir(parents=True, exist_ok=True)
    seen, tensors = set(), {}
    for name, value in model.state_dict().items():
        if value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            tensors[name] = value.contiguous()
    (folder / "config.json").write_text(model.config.to_json_string())
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load_checkpoint(folder, attn=None):
    """In fp32 and eval mode; checked, because transformers initialises anew what it misses."""
    config = transformers.AutoConfig.from_pretrained(folder)
    model_class = class_named((config.architectures or ["ElectraClassifier"])[0])
    model = model_class.from_pretrained(folder, **({"attn_implementation": attn} if attn else {})).float().eval()
    if (folder / "model.safetensors").exists():
        values = model.state_dict()
        for name, tensor in load_file(folder / "model.safetensors").items():
            assert name not in values or torch.equal(values[name], tensor.to(values[name].dtype)), f"{folder}: {name} was not loaded"
    return model


@torch.no_grad()
def logits_of(model, rows):
    """Of every row as when alone: only rows of the same length share a batch, so that nothing is padded."""
    by_length = {}
    for index, ids in enumerate(rows):
        by_length.setdefault(len(ids), []).append(index)
    logits = [None] * len(rows)
    for length, indexes in by_length.items():
        size = max(1, 1024 // length)
        for start in range(0, len(indexes), size):
            chunk = indexes[start : start + size]
            inputs = torch.tensor([rows[index] for index in chunk])
            for index, values in zip(chunk, ToTensor(model)(inputs, torch.ones_like(inputs))):
                logits[index] = values
    return torch.stack(logits)


class ToTensor(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        output = self.model(input_ids=input_ids, attention_mask=attention_mask)
        return output if isinstance(output, torch.Tensor) else output.logits


class ToTuple(ToTensor):
    def forward(self, input_ids, attention_mask):
        return (super().forward(input_ids, attention_mask), attention_mask)


class ToDict(ToTensor):
    def forward(self, input_ids, attention_mask):
        return {"mask": attention_mask, "logits": super().forward(input_ids, attention_mask)}


def save_plain_trace(model, path, output=ToTensor):
    """torch.jit.trace as it is, with all that it writes down of the tracing machine, but for its folders' names."""
    ids = torch.randint(0, model.config.vocab_size, (2, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    with torch.no_grad():
        torch.jit.trace(output(model), (ids, mask), check_trace=False, strict=False).save(path)
    rewrite(path, lambda code: code)


def rewrite(path, change):
    """Changes the code of an archive, and drops the debug records, which name the source files of the machine."""
    with zipfile.ZipFile(path) as archive:
        records = [(name, archive.read(name)) for name in archive.namelist() if not name.endswith(".debug_pkl")]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, record in records:
            archive.writestr(zipfile.ZipInfo(name), change(record.decode()) if name.endswith(".py") else record)
