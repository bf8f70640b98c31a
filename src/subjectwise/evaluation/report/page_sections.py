"""What each section below the first screen shows, in the order of the page: charts and rows of tables.

Measures nothing and knows no HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from subjectwise.evaluation.learning_curve_schema import LearningCurve
from subjectwise.evaluation.report import chart_geometry as charts
from subjectwise.evaluation.report.find_reports import ReportFolder
from subjectwise.evaluation.report.formatting import fixed, mean, percent, percent_name
from subjectwise.evaluation.report_schema import (
    Calibration,
    ConfusedPair,
    EvaluationReport,
    GroupAccuracy,
    ThresholdResult,
)

# Sources shown at once; the others are folded.
WEAKEST_SOURCES = 15
PAIRS = 12


@dataclass(frozen=True)
class ConfusionSection:
    """The confusion matrix and its most frequent mistakes."""

    chart: charts.ConfusionChart
    description: str
    pairs: list[ConfusedPair]


def confusion(report: EvaluationReport) -> ConfusionSection | None:
    """Return the confusion matrix; None where the report has none."""
    if report.confusion is None or not report.confusion.labels:
        return None
    pairs = report.confused_pairs[:PAIRS]
    description = "Confusion matrix: how many questions of each subject were classified as each subject."
    if pairs:
        most = pairs[0]
        description += f" The most frequent mistake is {most.label} as {most.predicted}: {most.rows:,} times."
    return ConfusionSection(charts.confusion_chart(report.confusion), description, pairs)


@dataclass(frozen=True)
class ReliabilityFigure:
    """A reliability diagram; `column` is the head of its metrics in the table."""

    column: str
    heading: str
    chart: charts.LineChart
    description: str
    color: str


@dataclass(frozen=True)
class CalibrationSection:
    """Reliability diagrams, and the metrics beside each other."""

    figures: list[ReliabilityFigure]
    rows: list[tuple[str, list[float | None]]]
    temperature: float | None
    bound: float | None


def calibration(report: EvaluationReport) -> CalibrationSection | None:
    """Return calibration before and after the temperature; None where the report has neither."""
    section = report.calibration or Calibration()
    sides = [
        (name, color, side)
        for name, color, side in (("Before", "second", section.before), ("After", "first", section.after))
        if side is not None and side.reliability
    ]
    figures = []
    for name, color, side in sides:
        # With only one there is nothing to compare it with.
        heading = f"{name} calibration" if len(sides) > 1 else "Confidence and accuracy"
        description = (
            f"Reliability diagram {name.lower()} calibration: accuracy against confidence in "
            f"{len(side.reliability)} bins. ECE {fixed(side.ece)}."
        )
        column = name if len(sides) > 1 else "Value"
        figures.append(
            ReliabilityFigure(column, heading, charts.reliability_chart(side.reliability), description, color)
        )
    names = {"ece": "ECE", "classwise_ece": "Classwise ECE", "nll": "NLL", "brier": "Brier score"}
    rows = [(name, [getattr(side, key) for _, _, side in sides]) for key, name in names.items()]
    rows = [(name, values) for name, values in rows if any(value is not None for value in values)]
    return CalibrationSection(figures, rows, section.temperature, section.perfect_ece_p95) if figures else None


@dataclass(frozen=True)
class CoverageSection:
    """The risk-coverage curve and the thresholds."""

    chart: charts.LineChart
    description: str
    thresholds: list[tuple[str, ThresholdResult]]


def coverage(report: EvaluationReport) -> CoverageSection | None:
    """Return accuracy on the most confident questions; None where the report has no such curve."""
    if not report.risk_coverage:
        return None
    description = "Risk-coverage curve: accuracy on the most confident questions against the share answered."
    for target, result in report.thresholds.items():
        if result.accuracy:
            description += (
                f" The threshold for {percent_name(target)} answers {percent(result.coverage)} of the questions, "
                f"{percent(result.accuracy.value)} of them right."
            )
    return CoverageSection(
        charts.coverage_chart(report.risk_coverage, report.thresholds),
        description,
        [(percent_name(target), result) for target, result in report.thresholds.items()],
    )


@dataclass(frozen=True)
class ClassSection:
    """The metrics of each subject."""

    chart: charts.ClassChart
    description: str


def classes(report: EvaluationReport) -> ClassSection | None:
    """Return the metrics of each subject, lowest F1 first; None where the report has none."""
    ranked = dict(sorted(report.per_class.items(), key=lambda item: item[1].f1))
    if not ranked:
        return None
    lowest, highest = next(iter(ranked)), next(reversed(ranked))
    description = (
        f"F1, precision and recall of each subject. Lowest F1: {lowest}, {fixed(ranked[lowest].f1, 2)}; "
        f"highest: {highest}, {fixed(ranked[highest].f1, 2)}."
    )
    return ClassSection(charts.class_chart(ranked), description)


GroupRow = tuple[str, GroupAccuracy]


def sources(report: EvaluationReport) -> tuple[list[GroupRow], list[GroupRow]]:
    """Return the sources of lowest accuracy, and all others; sources without rows last."""
    rows = sorted(
        report.per_source.items(),
        key=lambda row: (not row[1].rows, row[1].accuracy.value, -row[1].rows, row[0]),
    )
    return rows[:WEAKEST_SOURCES], rows[WEAKEST_SOURCES:]


def slices(report: EvaluationReport) -> list[tuple[str, list[GroupRow]]]:
    """Return the accuracy by properties of the question, under a heading each."""
    names = {"length": "By length of the question", "options": "By answer options"}
    return [(names.get(key, f"By {key}"), list(rows.items())) for key, rows in report.slices.items() if rows]


@dataclass(frozen=True)
class CurveSection:
    """Learning curves, with the mean over the seeds in a table."""

    chart: charts.CurveChart
    description: str
    names: list[str]
    rows: list[tuple[int, list[float | None]]]
    seeds: int
    measured_on: list[str]


def learning_curves(files: Sequence[LearningCurve]) -> CurveSection | None:
    """Return the learning curves on one chart; None where there are none."""
    curves: dict[str, dict[int, list[float]]] = {}
    for file in files:
        points = curves.setdefault(_new_name(file.predictor, curves), {})
        for point in sorted(file.points, key=lambda point: point.rows):
            points.setdefault(point.rows, []).append(point.accuracy.value)
    if not curves:
        return None
    description = "Learning curve: accuracy by the number of training rows."
    for name, points in curves.items():
        least, most = min(points), max(points)
        first, last = percent(mean(points[least])), percent(mean(points[most]))
        description += f" {name}: {first} with {least:,}, {last} with {most:,}."
    counts = sorted({rows for points in curves.values() for rows in points})
    data = [file.data for file in files if file.data]
    return CurveSection(
        chart=charts.curve_chart(curves),
        description=description,
        names=list(curves),
        rows=[(rows, [mean(each[rows]) if rows in each else None for each in curves.values()]) for rows in counts],
        seeds=max(len(values) for points in curves.values() for values in points.values()),
        measured_on=sorted({f"{each.protocol} {each.split}, {each.rows:,} rows" for each in data}),
    )


def _new_name(name: str, taken: Mapping[str, object]) -> str:
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name} ({number})"
    return unique


Fact = tuple[str, str]


@dataclass(frozen=True)
class Reproduction:
    """What measures everything again: a command per file, and facts with the files that have them in common."""

    commands: list[tuple[str, str]]
    facts: dict[str, list[Fact]]


def reproduction(reports: ReportFolder) -> Reproduction:
    """Return how the files of the folder were made."""
    files: list[tuple[str, EvaluationReport | LearningCurve]] = [
        (item.name, item.report) for item in [reports.main, *reports.others]
    ]
    files += [(f"learning curve of {curve.predictor}", curve) for curve in reports.curves]
    return Reproduction(
        commands=[(name, file.command) for name, file in files if file.command],
        facts={
            "Versions": _shared((name, _listed(file.versions)) for name, file in files),
            "Machine": _shared((name, _listed(file.machine)) for name, file in files),
            "Manifest (SHA-256)": _shared(
                (name, file.data.manifest_sha256 if file.data else "") for name, file in files
            ),
        },
    )


def _shared(facts: Iterable[tuple[str, str]]) -> list[Fact]:
    """Return each distinct fact with the files that have it; without them where there is only one."""
    names: dict[str, list[str]] = {}
    for name, fact in facts:
        if fact:
            names.setdefault(fact, []).append(name)
    return [(fact, "" if len(names) == 1 else ", ".join(own)) for fact, own in names.items()]


def _listed(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items() if value not in (None, ""))
