"""Writes test/fixtures/metrics/goldens.json: what scikit-learn makes of labelled scores, strange ones among them.

    python scripts/make_metric_goldens.py

An undefined figure (scikit-learn's NaN, 0 with a warning, or error) is null. published.csv holds labels and
probabilities of every 60th row of the published predictions of ELECTRA large and base, without the texts; it is made
from ../shared where that is there, and its figures are in the goldens.
"""

import csv
import json
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    classification_report,
    confusion_matrix,
    log_loss,
    precision_recall_curve,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

ROOT = Path(__file__).parent.parent
OUT = ROOT / "test" / "fixtures" / "metrics"
SENTENCES = ROOT / ".." / "shared" / "data" / "val_with_electra_preds.csv"
BINS = 15


def number(value):
    return None if value is None or np.isnan(value) else float(value)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def calibration(confidence, right):
    """Guo et al. 2017: bins open below and closed above."""
    index = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    bins = []
    for i in np.unique(index):
        inside = index == i
        bins.append(
            {
                "from": i / BINS,
                "to": (i + 1) / BINS,
                "count": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(right[inside].mean()),
            }
        )
    error = sum(bin["count"] * abs(bin["confidence"] - bin["accuracy"]) for bin in bins)
    return {"bins": bins, "expected_calibration_error": error / len(right)}


def curves(truth, scores):
    """Of one class against the rest, as lists of points; none where they are not defined."""
    golden = {"roc": [], "precision_recall": [], "auc": None, "average_precision": None}
    if truth.any():
        precision, recall, _ = precision_recall_curve(truth, scores)
        # scikit-learn goes from the lowest threshold to the highest.
        golden["precision_recall"] = [[float(x), float(y)] for x, y in zip(recall[::-1], precision[::-1])]
        golden["average_precision"] = number(average_precision_score(truth, scores))
        if not truth.all():
            x, y, _ = roc_curve(truth, scores, drop_intermediate=False)
            golden["roc"] = [[float(a), float(b)] for a, b in zip(x, y)]
            golden["auc"] = number(roc_auc_score(truth, scores))
    return golden


def averages(report, name):
    return [report[name][key] for key in ("precision", "recall", "f1-score")]


def golden(name, truth, scores, with_curves=True):
    truth = np.asarray(truth, dtype=int)
    scores = np.asarray(scores, dtype=float).reshape(len(truth), -1)
    num_labels = scores.shape[1]
    labels = list(range(num_labels))
    predicted = scores.argmax(axis=1)
    # Per class, NaN where not defined; averages as in the report that people print, with its default settings.
    per_class = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=np.nan)
    report = classification_report(truth, predicted, output_dict=True)
    per_class_curves = [curves(truth == label, scores[:, label]) for label in labels]
    defined = len(np.unique(truth)) == num_labels and num_labels > 1
    if num_labels == 2:
        roc_auc = roc_auc_score(truth, scores[:, 1]) if defined else None
        brier = brier_score_loss(truth, scores[:, 1], labels=labels)
    else:
        roc_auc = roc_auc_score(truth, scores, multi_class="ovr", average="macro") if defined else None
        brier = brier_score_loss(truth, scores, labels=labels)
    return {
        "name": name,
        "truth": truth.tolist(),
        "scores": scores.tolist(),
        "classes": [[number(v) for v in row[:3]] + [int(row[3])] for row in zip(*per_class)],
        "accuracy": accuracy_score(truth, predicted),
        "macro": averages(report, "macro avg"),
        "weighted": averages(report, "weighted avg"),
        "confusion_matrix": confusion_matrix(truth, predicted, labels=labels).tolist(),
        "roc_auc": number(roc_auc),
        "log_loss": log_loss(truth, scores, labels=labels),
        "brier": float(brier),
        "calibration": calibration(scores.max(axis=1), predicted == truth),
        # The text of scikit-learn is the same as ours only where every class is there and predicted; and where nothing
        # is right, it prints supports as 1.0.
        "text": classification_report(truth, predicted, target_names=[f"class {i}" for i in labels], digits=6)
        if defined and len(np.unique(predicted)) == num_labels and (predicted == truth).any()
        else None,
        "curves": per_class_curves if with_curves else None,
    }


def cases():
    random = np.random.default_rng(7)

    def draw(rows, num_labels, skill):
        truth = random.integers(0, num_labels, rows)
        logits = random.normal(size=(rows, num_labels)) + skill * np.eye(num_labels)[truth]
        return truth, np.round(softmax(logits), 7)

    yield golden("three classes", *draw(200, 3, 1.5))
    yield golden("two classes", *draw(100, 2, 1.0))
    yield golden("seven classes", *draw(150, 7, 2.0), with_curves=False)
    yield golden("worse than chance", *draw(60, 3, -2.0))
    truth, scores = draw(120, 3, 1.0)
    yield golden("ties: scores of one digit", truth, [random.multinomial(10, row / row.sum()) / 10 for row in scores])
    yield golden("all scores equal", [0, 1, 2, 0], [[1 / 3] * 3] * 4)
    yield golden("bin edges", [0, 1, 0, 1], [[0.6, 0.4], [0.4, 0.6], [0.8, 0.2], [1.0, 0.0]])
    yield golden("certain and right", [0, 1, 2], np.eye(3))
    yield golden("certain and wrong", [1, 2, 0], np.eye(3))
    never_third = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.5, 0.4]]
    yield golden("a class never predicted", [0, 1, 2, 2], never_third)
    yield golden("a class absent, but predicted", [0, 1, 1], [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.1, 0.7]])
    yield golden("a class absent and never predicted", [0, 1, 1], [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2]])
    yield golden("a single class", [1, 1, 1], [[0.2, 0.7, 0.1], [0.1, 0.5, 0.4], [0.6, 0.3, 0.1]])
    yield golden("a single class, all right", [1, 1], [[0.2, 0.7, 0.1], [0.1, 0.5, 0.4]])
    yield golden("one row", [2], [[0.2, 0.3, 0.5]])


def extract():
    """Writes published.csv anew where its source is there."""
    if not SENTENCES.exists():
        return
    with SENTENCES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["label", "source", "electra_large_probabilities", "electra_base_probabilities"]
    with (OUT / "published.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", *columns])
        for number, row in list(enumerate(rows, 1))[::60]:
            writer.writerow([f"sentence {number}", *(row[column] for column in columns)])


def published(size):
    with (OUT / "published.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    truth = [["negative", "neutral", "positive"].index(row["label"]) for row in rows]
    scores = [json.loads(row[f"electra_{size}_probabilities"]) for row in rows]
    case = golden(size, truth, scores, with_curves=False)
    return {key: case[key] for key in ("accuracy", "macro", "roc_auc", "log_loss", "brier", "confusion_matrix")}


def main():
    warnings.simplefilter("ignore")
    OUT.mkdir(parents=True, exist_ok=True)
    extract()
    pairs = [(0, 0), (1, 0), (0, 5), (5, 5), (3, 12), (40, 25), (700, 438), (0, 900), (5000, 5100)]
    mcnemar = [[b, c, binomtest(b, b + c).pvalue if b + c else 1.0] for b, c in pairs]
    goldens = {
        "cases": list(cases()),
        "mcnemar": mcnemar,
        "published": {size: published(size) for size in ("large", "base")},
    }
    (OUT / "goldens.json").write_text(json.dumps(goldens) + "\n")


main()
