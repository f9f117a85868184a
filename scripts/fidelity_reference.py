"""Python's half of scripts/fidelity.ts: makes models, their reference logits and traces, as a list of jobs asks.

    python scripts/fidelity_reference.py JOBS.json

What is there already is not made again, and every file gets its name only when it is whole.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import torch
import transformers
from random_models import load_checkpoint, logits_of, make_model, save_checkpoint, save_plain_trace

VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__}


def whole(path, write):
    """Calls write(partial) where there is no `path`, then gives it that name."""
    if not path.exists():
        partial = path.with_name(path.name + ".partial")
        write(partial)
        os.replace(partial, path)


def make_random(folder, make):
    """The tokenizer's files are there before."""
    if (folder / "model.safetensors").exists():
        return
    config_class = transformers.BertConfig if make["architecture"].startswith("Bert") else transformers.ElectraConfig
    config = config_class(**make["config"])
    config.architectures = [make["architecture"]]
    partial = folder / "partial"
    save_checkpoint(make_model(config, make["seed"]), partial)
    for name in ["config.json", "model.safetensors"]:
        os.replace(partial / name, folder / name)
    partial.rmdir()


def run(job):
    checkpoint = Path(job["checkpoint"])
    if "make" in job:
        make_random(checkpoint, job["make"])
    if "reference" in job:

        def write_reference(partial):
            logits = logits_of(load_checkpoint(checkpoint), json.loads(Path(job["rows"]).read_text()))
            partial.write_text(json.dumps({**VERSIONS, "logits": logits.tolist()}))

        whole(Path(job["reference"]), write_reference)
    for trace in job.get("traces", []):
        whole(Path(trace["out"]), lambda partial: save_plain_trace(load_checkpoint(checkpoint, trace["attn"]), partial))


def main():
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for job in json.loads(Path(sys.argv[1]).read_text()):
        print(f"python, transformers {transformers.__version__}: {job['name']}", file=sys.stderr, flush=True)
        run(job)


main()
