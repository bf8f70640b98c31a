"""What the benchmarks share: commands of the package, each run once and kept under benchmarks/work, and tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from subjectwise.types import JsonObject

# Relative, since the results have the commands that were run.
HERE = Path(os.path.relpath(Path(__file__).parent))
WORK = HERE / "work"
RESULTS = HERE / "results"

# The metrics of a table, with their headings.
METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1", "nll": "NLL", "ece": "ECE"}
PERCENT = ("accuracy", "macro_f1")


def subjectwise(*arguments: str | Path) -> None:
    """Run a command of the package, printed as it could be typed."""
    print("$ subjectwise", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "subjectwise.cli.app", *map(str, arguments)], check=True)


def split(name: str, source: str, protocol: str = "") -> Path:
    """Return the split folder `name`, made once; by the protocol of that name unless another is given."""
    folder = WORK / name
    protocol = protocol or name
    if not folder.exists():
        subjectwise("data", "split", "--protocol", protocol, "--source", source, "--output", folder)
    return folder


def train(name: str, recipe: str, data: Path, *options: str) -> Path:
    """Return the model folder `name`, trained once."""
    folder = WORK / "models" / name
    if not folder.exists():
        subjectwise("train", recipe, "--data", data, "--output", folder, *options)
    return folder


def evaluate(folder: Path, predictor: str | Path, data: Path, *options: str) -> Path:
    """Evaluate a predictor once; the report is in `folder`, which is returned."""
    if not folder.exists():
        subjectwise("evaluate", predictor, "--data", data, "--output", folder, *options)
    return folder


def read_report(folder: Path) -> JsonObject:
    """Return the report.json of a folder."""
    report: JsonObject = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


def read_results(name: str) -> JsonObject:
    """Return what an earlier run wrote; empty where there was none."""
    file = RESULTS / name
    kept: JsonObject = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return kept


def write_results(name: str, results: Mapping[str, object]) -> None:
    """Write results/NAME."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def evenly_spaced(count: int, rows: int) -> list[int]:
    """Return `count` indices spread evenly over `rows` rows, the first and the last included."""
    return [int(index) for index in np.linspace(0, rows - 1, count).astype(int)]


def auroc(known: npt.ArrayLike, foreign: npt.ArrayLike) -> float:
    """Return the area under the ROC curve of a score that separates known rows (higher) from foreign ones."""
    from sklearn.metrics import roc_auc_score

    scores = [np.asarray(known), np.asarray(foreign)]
    return float(roc_auc_score(np.repeat([1, 0], [len(part) for part in scores]), np.concatenate(scores)))


def metric_text(name: str, metric: Mapping[str, float]) -> str:
    """Return a metric as a table shows it, its 95 % interval (if any) in brackets; accuracy and macro-F1 in percent."""
    scale, digits = (100, 1) if name in PERCENT else (1, 3)
    text = f"{metric['value'] * scale:.{digits}f}"
    ends = [f"{metric[end] * scale:.{digits}f}" for end in ("low", "high") if end in metric]
    return f"{text} [{', '.join(ends)}]" if ends else text


def metric_table(title: str, reports: Mapping[str, JsonObject]) -> str:
    """Return a table with one row per report: the number of its rows, and its metrics."""
    rows = [
        [name, f"{report['data']['rows']:,}", *(metric_text(key, report["metrics"][key]) for key in METRICS)]
        for name, report in reports.items()
    ]
    return table([title, "rows", *METRICS.values()], rows)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *rows])
