"""Many reports on the same rows into one table, with what chance can explain between neighbours."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from subjectwise.errors import DataError
from subjectwise.statistics import metrics, significance
from subjectwise.statistics.significance import Interval
from subjectwise.types import FloatArray, IntArray
from subjectwise.utils.atomic_files import read_json

SCHEMA_VERSION = 1

FIGURES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "nll": "NLL", "brier": "Brier", "ece": "ECE"}
PERCENT = ("accuracy", "macro_f1")


@dataclass(frozen=True)
class Measured:
    """One report with the predictions behind it, rows in the order of their ids.

    Attributes:
        probabilities: [rows, labels], columns in the order of `labels`.
        truth: the place of each row's label, [rows].
    """

    name: str
    report: dict[str, Any]
    labels: list[str]
    row_ids: list[str]
    probabilities: FloatArray
    truth: IntArray

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.probabilities.argmax(axis=1) == self.truth)


@dataclass(frozen=True)
class Neighbours:
    """One predictor against the next of the table, on the same rows.

    Attributes:
        accuracy, macro_f1: the better one's minus the other's, with the 95 % interval of a paired bootstrap.
        mcnemar: p-value of McNemar's exact test on which rows each is right.
    """

    better: str
    other: str
    accuracy: Interval
    macro_f1: Interval
    mcnemar: float


@dataclass(frozen=True)
class Comparison:
    """Reports by accuracy, best first, and each against the next."""

    reports: list[Measured]
    neighbours: list[Neighbours]


def read_measured(folder: Path) -> Measured:
    """Reads what `subjectwise evaluate` wrote to `folder`.

    Raises:
        DataError: a file is missing or damaged, or the two files hold different rows.
    """
    report = read_json(folder / "report.json", DataError)
    file = folder / "predictions.jsonl"
    try:
        with file.open(encoding="utf-8") as stream:
            rows = sorted((json.loads(line) for line in stream), key=lambda row: str(row["row_id"]))
        labels = list(report["confusion"]["labels"])
        probabilities = np.array([[row["scores"][label] for label in labels] for row in rows], dtype=float)
        truth = np.array([labels.index(row["label"]) for row in rows])
        wanted = int(report["data"]["rows"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} or its report is missing or damaged; run 'subjectwise evaluate' again.") from error
    if len(rows) != wanted:
        raise DataError(f"{file} has {len(rows)} predictions for the {wanted} rows of its report; evaluate again.")
    metrics.check(probabilities, truth)
    return Measured(folder.name, report, labels, [str(row["row_id"]) for row in rows], probabilities, truth)


def compare(measured: Sequence[Measured], resamples: int = 1000) -> Comparison:
    """Compares reports on the same rows.

    Raises:
        DataError: fewer than two, two of one name, or reports on different splits, rows or labels.
    """
    if len(measured) < 2:
        raise DataError("A comparison needs two reports at least.")
    first = measured[0]
    for other in measured[1:]:
        theirs, ours = other.report["data"], first.report["data"]
        if theirs["manifest_sha256"] != ours["manifest_sha256"] or theirs["split"] != ours["split"]:
            raise DataError(
                f"{first.name} and {other.name} were measured on different splits "
                f"({ours['protocol']} {ours['split']}, {theirs['protocol']} {theirs['split']}); compare like with like."
            )
        if other.row_ids != first.row_ids:
            raise DataError(f"{first.name} and {other.name} hold different rows; evaluate both without --limit.")
        if other.labels != first.labels:
            raise DataError(f"{first.name} and {other.name} have different labels.")
    names = [item.name for item in measured]
    if len(set(names)) < len(names):
        raise DataError(f"Two reports are called {max(names, key=names.count)!r}; rename one of the folders.")
    ranked = sorted(measured, key=lambda item: -item.right.mean())
    return Comparison(ranked, [_neighbours(a, b, resamples) for a, b in pairwise(ranked)])


def _neighbours(better: Measured, other: Measured, resamples: int) -> Neighbours:
    pair = better.probabilities, other.probabilities, better.truth
    return Neighbours(
        better=better.name,
        other=other.name,
        accuracy=significance.paired_difference(*pair, of=metrics.accuracy, resamples=resamples),
        macro_f1=significance.paired_difference(*pair, of=metrics.macro_f1, resamples=resamples),
        mcnemar=significance.mcnemar(better.right, other.right),
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    first = comparison.reports[0].report["data"]
    return {
        "schema_version": SCHEMA_VERSION,
        "data": {key: first[key] for key in ("protocol", "split", "rows", "manifest_sha256")},
        "reports": [
            {
                "name": item.name,
                **{key: item.report[key] for key in ("predictor", "metrics", "speed", "command")},
                "with_options": item.report["data"]["with_options"],
            }
            for item in comparison.reports
        ],
        "neighbours": [asdict(pair) for pair in comparison.neighbours],
    }


def as_json_text(comparison: Comparison) -> str:
    return json.dumps(as_json(comparison), indent=2) + "\n"


def _cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """The table's head and rows as plain text; the last two columns are against the next row."""
    header = ["", *FIGURES.values(), "questions/s", "ahead of the next by", "McNemar p"]
    rows = []
    for place, item in enumerate(comparison.reports):
        shown = " (options)" if item.report["data"]["with_options"] else ""
        cells = [item.name + shown]
        cells += [figure(name, item.report["metrics"][name]) for name in FIGURES]
        cells.append(f"{item.report['speed']['questions_per_second']:,.1f}")
        if place < len(comparison.neighbours):
            pair = comparison.neighbours[place]
            cells += [figure("accuracy", asdict(pair.accuracy)), f"{pair.mcnemar:.2g}"]
        else:
            cells += ["", ""]
        rows.append(cells)
    return header, rows


def figure(name: str, interval: Mapping[str, float]) -> str:
    """A figure of FIGURES as a table shows it, with its 95 % interval in brackets."""
    scale, digits = (100, 1) if name in PERCENT else (1, 3)
    value, low, high = (interval[part] * scale for part in ("value", "low", "high"))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _caption(comparison: Comparison) -> str:
    facts = comparison.reports[0].report["data"]
    return f"{facts['protocol']} {facts['split']}, {facts['rows']:,} rows, 95 % intervals in brackets"


def as_markdown(comparison: Comparison) -> str:
    header, rows = _cells(comparison)
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{_caption(comparison)}\n\n{table}\n"


def as_html(comparison: Comparison) -> str:
    header, rows = _cells(comparison)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in [*row]) + "</tr>" for row in rows)
    return _HTML.format(caption=html.escape(_caption(comparison)), head=head, body=body)


_HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Comparison</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }}
body {{ margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; padding-bottom: .75rem; }}
th, td {{ text-align: left; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid #8884; white-space: nowrap; }}
</style>
<div><table>
<caption>{caption}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table></div>
</html>
"""
