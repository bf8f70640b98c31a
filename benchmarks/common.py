"""What the benchmarks share: commands of the package, each run once and kept under benchmarks/work, and tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from subjectwise.evaluation.comparison import FIGURES, figure

# Relative, since the commands that are run stand in the results.
HERE = Path(os.path.relpath(Path(__file__).parent))
WORK = HERE / "work"
RESULTS = HERE / "results"

_SHOWN = ("accuracy", "macro_f1", "nll", "ece")


def subjectwise(*arguments: str | Path) -> None:
    """Runs a command of the package, shown as it could be typed."""
    print("$ subjectwise", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "subjectwise.cli.app", *map(str, arguments)], check=True)


def split(name: str, source: str, protocol: str = "") -> Path:
    """A split folder `name`; by the protocol of that name unless another is given."""
    folder = WORK / name
    protocol = protocol or name
    if not folder.exists():
        subjectwise("data", "split", "--protocol", protocol, "--source", source, "--output", folder)
    return folder


def train(name: str, recipe: str, data: Path, *options: str) -> Path:
    folder = WORK / "models" / name
    if not folder.exists():
        subjectwise("train", recipe, "--data", data, "--output", folder, *options)
    return folder


def evaluate(folder: Path, predictor: str | Path, data: Path, *options: str) -> Path:
    """Measures a predictor once; the report is in `folder`."""
    if not folder.exists():
        subjectwise("evaluate", predictor, "--data", data, "--output", folder, *options)
    return folder


def read_report(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


def read_results(name: str) -> dict[str, Any]:
    """What an earlier run wrote; empty where there was none."""
    file = RESULTS / name
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return kept


def write_results(name: str, results: Mapping[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def auroc(known: npt.ArrayLike, foreign: npt.ArrayLike) -> float:
    """How well a figure tells known rows (higher) from foreign ones: the area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    figures = [np.asarray(known), np.asarray(foreign)]
    return float(roc_auc_score(np.repeat([1, 0], [len(part) for part in figures]), np.concatenate(figures)))


def metric_table(title: str, reports: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a report: how many rows it was measured on, and its figures."""
    rows = [
        [name, f"{report['data']['rows']:,}", *(figure(key, report["metrics"][key]) for key in _SHOWN)]
        for name, report in reports.items()
    ]
    return table([title, "rows", *(FIGURES[key] for key in _SHOWN)], rows)


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *rows])
