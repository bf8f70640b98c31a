"""What the first screen shows: headline metrics, the cost of unseen sources, and all reports. Knows no HTML.

Measures nothing, but for the interval of the accuracy at a coverage.
"""

from __future__ import annotations

from dataclasses import dataclass

from subjectwise.evaluation.report.chart_geometry import GapChart, gap_chart
from subjectwise.evaluation.report.find_reports import NamedReport, ReportFolder
from subjectwise.evaluation.report.formatting import (
    SPACE,
    Bar,
    fixed,
    interval_bar,
    marked_bar,
    percent,
    percent_range,
)
from subjectwise.evaluation.report_schema import Calibration, EvaluationReport
from subjectwise.statistics.intervals import proportion_interval

# The share of questions answered that the first screen shows.
COVERAGE = 0.75


@dataclass(frozen=True)
class Tile:
    """One headline metric."""

    name: str
    value: str
    range: str
    bar: Bar | None
    note: str


def tiles(report: EvaluationReport) -> list[Tile]:
    """Return the headline metrics."""
    metrics = report.metrics
    accuracy, macro_f1, ece = metrics.accuracy, metrics.macro_f1, metrics.ece
    shown = [Tile("Accuracy", percent(accuracy.value), percent_range(accuracy), interval_bar(accuracy), "of all rows")]
    if macro_f1:
        ends = f"{fixed(macro_f1.low)} to {fixed(macro_f1.high)}"
        shown.append(
            Tile("Macro-F1", fixed(macro_f1.value), ends, interval_bar(macro_f1), "every subject has the same weight")
        )
    if ece:
        shown.append(_calibration_tile(ece.value, report.calibration))
    point = next((point for point in report.risk_coverage if point.coverage >= COVERAGE - 1e-9), None)
    if point:
        answered = round(point.coverage * report.data.rows)
        interval = proportion_interval(round(point.accuracy * answered), answered)
        note = f"where the confidence is at least {fixed(point.threshold, 2)}"
        name = f"Accuracy at {percent(COVERAGE, 0)} coverage"
        shown.append(Tile(name, percent(point.accuracy), percent_range(interval), interval_bar(interval), note))
    return shown


def _calibration_tile(ece: float, calibration: Calibration | None) -> Tile:
    bound = calibration.perfect_ece_p95 if calibration else None
    if bound is None:
        verdict, note = "", ""
    else:
        verdict = "within the bound" if ece <= bound else "above the bound"
        note = f"95{SPACE}% of perfectly calibrated models are below {fixed(bound)}"
    bar = marked_bar(ece, bound, last=max(0.05, 1.25 * max(ece, bound or 0.0)))
    return Tile("Calibration error (ECE)", fixed(ece), verdict, bar, note)


@dataclass(frozen=True)
class SourceGap:
    """The main report beside the one on unseen sources."""

    size: str
    loss: bool
    main: NamedReport
    held_out: NamedReport
    chart: GapChart
    description: str


def source_gap(reports: ReportFolder) -> SourceGap | None:
    """Return what unseen sources cost; None where they were not measured."""
    if reports.held_out is None:
        return None
    known, unseen = (item.report.metrics.accuracy for item in (reports.main, reports.held_out))
    points = 100 * (known.value - unseen.value)
    description = (
        f"Accuracy on known sources, {percent(known.value)}, and on unseen sources, {percent(unseen.value)}, "
        f"with 95{SPACE}% intervals."
    )
    return SourceGap(
        f"{abs(points):.1f} points", points >= 0, reports.main, reports.held_out,
        gap_chart(known, unseen), description,
    )  # fmt: skip


@dataclass(frozen=True)
class ReportGroup:
    """Reports on the same rows, the most accurate first."""

    name: str
    reports: list[NamedReport]


def report_groups(reports: ReportFolder) -> list[ReportGroup]:
    """Return every report, those on the rows of the main one first; empty where there is only the main one."""
    if not reports.others:
        return []
    groups: dict[str, list[NamedReport]] = {}
    for item in [reports.main, *sorted(reports.others, key=_sort_key)]:
        groups.setdefault(item.report.data.description, []).append(item)
    return [
        ReportGroup(name, sorted(group, key=lambda item: (-item.report.metrics.accuracy.value, item.name)))
        for name, group in groups.items()
    ]


def _sort_key(item: NamedReport) -> tuple[str, str, str]:
    return item.report.data.protocol, item.report.data.split, item.name
