"""Finds the reports of a folder and says which is the main one. Knows no HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from subjectwise.errors import DataError
from subjectwise.evaluation.learning_curve_schema import LearningCurve
from subjectwise.evaluation.report_files import LEARNING_CURVE_FILE, REPORT_FILE, read_learning_curve, read_report
from subjectwise.evaluation.report_schema import EvaluationReport

# How far below the given folder a report may lie.
DEPTH = 3


@dataclass(frozen=True)
class NamedReport:
    """A report with the name of its folder, as seen from the folder that was opened."""

    name: str
    report: EvaluationReport


@dataclass(frozen=True)
class ReportFolder:
    """The reports of a folder.

    Attributes:
        main: the report to show in full.
        others: all other reports.
        held_out: the report of the main predictor on sources that it was not trained on, one of `others`.
        curves: the learning curves.
    """

    main: NamedReport
    others: list[NamedReport]
    held_out: NamedReport | None
    curves: list[LearningCurve]


def open_reports(folder: Path, main: str = "") -> ReportFolder:
    """Read every report.json and learning_curve.json in `folder` and up to three folders below it.

    Args:
        folder: which `subjectwise evaluate` wrote, or one above.
        main: the name of the sub-folder whose report is shown in full. Without it, that is the first by name that
            was measured on `grouped` `test` with the question's text only, else the first of all.

    Raises:
        DataError: no report, a damaged one, one of another schema version, or no report of the name `main`.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give one that 'subjectwise evaluate --output' wrote.")
    reports = [NamedReport(_name(path, folder), read_report(path)) for path in _find(folder, REPORT_FILE)]
    if not reports:
        raise DataError(f"{folder} has no {REPORT_FILE}; write one with 'subjectwise evaluate --output'.")
    curves = [read_learning_curve(path) for path in _find(folder, LEARNING_CURVE_FILE)]
    curves = [curve for curve in curves if curve.points]  # one that has just begun has none
    chosen = _choose(reports, main, folder)
    others = [report for report in reports if report is not chosen]
    return ReportFolder(chosen, others, _held_out(chosen, others), [curve for curve in curves if curve.points])


def _find(folder: Path, file: str) -> Iterator[Path]:
    for depth in range(DEPTH + 1):
        for path in sorted(folder.glob("*/" * depth + file)):
            # A folder whose name begins with a dot is still being written.
            if not any(part.startswith(".") for part in path.relative_to(folder).parts):
                yield path


def _name(path: Path, folder: Path) -> str:
    inside = path.parent.relative_to(folder).as_posix()
    return folder.resolve().name if inside == "." else inside


def _choose(reports: list[NamedReport], main: str, folder: Path) -> NamedReport:
    if main:
        wanted = main.rstrip("/")
        matching = [item for item in reports if wanted in (item.name, item.name.rsplit("/", 1)[-1])]
        if not matching:
            names = ", ".join(item.name for item in reports)
            raise DataError(f"{folder} has no report named {main!r}; --main takes one of {names}.")
        return next((item for item in matching if item.name == wanted), matching[0])
    first = sorted(reports, key=lambda item: item.name)
    usual = (
        item
        for item in first
        if (item.report.data.protocol, item.report.data.split, item.report.data.with_options)
        == ("grouped", "test", False)
    )
    return next(usual, first[0])


def _held_out(main: NamedReport, others: list[NamedReport]) -> NamedReport | None:
    """Return the `source-held-out` report to set beside a `grouped` one.

    It is that of the same predictor. A model trained for each protocol has two names, so failing this it is the only
    one whose sub-folder's name begins as the main one's does, up to the word `grouped`.
    """
    data = main.report.data
    if data.protocol != "grouped":
        return None
    alike = [
        other
        for other in others
        if other.report.data.protocol == "source-held-out"
        and (other.report.data.split, other.report.data.with_options, other.report.data.prior_correction)
        == (data.split, data.with_options, data.prior_correction)
    ]
    for other in alike:
        if other.report.predictor == main.report.predictor:
            return other
    beginning = main.name.split("grouped")[0].rstrip("-_./ ")
    named_alike = [other for other in alike if other.name.startswith(beginning)]
    return named_alike[0] if len(named_alike) == 1 else None
