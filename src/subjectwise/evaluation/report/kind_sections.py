"""What the page shows of a mixture: home and abroad side by side, each kind of rows, requests of no label, and noise.

Home is the data set of the model card that this project started from; abroad is everything else. Knows no HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from subjectwise.evaluation.report.find_reports import NamedReport, ReportFolder
from subjectwise.evaluation.report.formatting import Bar, interval_bar, percent, percent_range
from subjectwise.evaluation.report_schema import EvaluationReport, KindMetrics
from subjectwise.statistics.intervals import Interval, proportion_interval

# Kinds whose name begins so are at home.
HOME = "mmlu-pro"

Kinds = Mapping[str, KindMetrics]


@dataclass(frozen=True)
class Side:
    """Accuracy on the kinds of one origin, all their rows taken together."""

    name: str
    value: str
    range: str
    bar: Bar | None
    rows: int
    notes: list[str]


@dataclass(frozen=True)
class Origins:
    """Home and abroad, and the report that has both."""

    report: NamedReport
    home: Side
    abroad: Side


def origins(reports: ReportFolder) -> Origins | None:
    """Return home and abroad of the main predictor; None where it was not measured on both."""
    for item in (reports.main, *reports.others):
        kinds = item.report.kinds
        home = {name: kind for name, kind in kinds.items() if name.startswith(HOME)}
        abroad = {name: kind for name, kind in kinds.items() if name not in home}
        if home and abroad and item.report.predictor == reports.main.report.predictor:
            return Origins(item, _side("MMLU-Pro", home), _side("Other origins", abroad))
    return None


def _side(name: str, kinds: Kinds) -> Side:
    accuracy = _pooled({key: kind.accuracy for key, kind in kinds.items()}, kinds)
    fair = _pooled({key: kind.fair_accuracy for key, kind in kinds.items()}, kinds)
    notes = []
    if fair.value > accuracy.value:
        notes.append(f"{percent(fair.value)} where any fair label counts")
    if len(kinds) > 1:
        ranked = sorted(kinds, key=lambda key: kinds[key].accuracy.value)
        ends = [f"{percent(kinds[key].accuracy.value)} ({key})" for key in (ranked[0], ranked[-1])]
        notes.append(f"{len(kinds)} kinds, from {ends[0]} to {ends[1]}")
    rows = sum(kind.rows for kind in kinds.values())
    return Side(name, percent(accuracy.value), percent_range(accuracy), interval_bar(accuracy), rows, notes)


def _pooled(shares: Mapping[str, Interval], kinds: Kinds) -> Interval:
    """Return the share of all rows together, from that of each kind."""
    hits = sum(round(share.value * kinds[key].rows) for key, share in shares.items())
    return proportion_interval(hits, sum(kind.rows for kind in kinds.values()))


def ranked_kinds(report: EvaluationReport) -> list[tuple[str, KindMetrics]]:
    """Return the kinds, home first, then the lowest accuracy for any fair label."""
    return sorted(report.kinds.items(), key=lambda row: (not row[0].startswith(HOME), row[1].fair_accuracy.value))


def noise_rows(report: EvaluationReport) -> list[tuple[str, str, str, str, str]]:
    """Return kind and level of noise, accuracy, its change in points with its interval, and the labels kept."""
    return [
        (
            f"{kind}, {result.level}",
            percent(result.accuracy.value),
            f"{100 * result.change.value:+.1f}",
            f"{100 * result.change.low:+.1f} to {100 * result.change.high:+.1f}",
            percent(result.labels_kept.value),
        )
        for kind, results in report.robustness.items()
        for result in results
    ]
