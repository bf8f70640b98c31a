"""Finds and checks the reports of a folder, and says which is the main one. Knows no figures and no HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subjectwise.errors import DataError
from subjectwise.statistics.significance import Interval
from subjectwise.utils.atomic_files import read_json

SCHEMA_VERSION = 1

# How far below the given folder a report may lie.
DEPTH = 3

# The form of a file: a type, `number` for both kinds of them, a list of one form, a dict of forms by key (those that
# end in "?" may be missing or null), or a dict of one form under `str`, which holds for every key.
Form = type | list[Any] | dict[Any, Any]

number = float
_INTERVAL: Form = {"value": number, "low": number, "high": number}
_SHARE: Form = {"rows": int, "accuracy": _INTERVAL}
_RELIABILITY: Form = {
    "ece?": number,
    "classwise_ece?": number,
    "nll?": number,
    "brier?": number,
    "reliability": [{"rows": int, "confidence": number, "accuracy": number, "low": number, "high": number}],
}
_DATA: Form = {
    "protocol": str,
    "split": str,
    "rows": int,
    "with_options?": bool,
    "prior_correction?": str,
    "manifest_sha256?": str,
}
_ORIGIN: dict[Any, Any] = {"command?": str, "versions?": {str: object}, "machine?": {str: object}}
_REPORT: Form = {
    "predictor": str,
    "data": _DATA,
    "metrics": {"accuracy": _INTERVAL, **{f"{name}?": _INTERVAL for name in ("macro_f1", "nll", "brier", "ece")}},
    "per_class?": {str: {"rows": int, "precision": number, "recall": number, "f1": number}},
    "per_source?": {str: _SHARE},
    "slices?": {str: {str: _SHARE}},
    "confusion?": {"labels": [str], "counts": [[int]]},
    "confused_pairs?": [{"label": str, "predicted": str, "rows": int, "share": number}],
    "confident_errors?": [{"question": str, "label": str, "predicted": str, "score": number, "source?": str}],
    "calibration?": {
        "temperature?": number,
        "perfect_ece_p95?": number,
        "before?": _RELIABILITY,
        "after?": _RELIABILITY,
    },
    "risk_coverage?": [{"coverage": number, "accuracy": number, "threshold": number}],
    # A threshold that no row comes up to, and a band without rows, have no accuracy.
    "thresholds?": {str: {"threshold": number, "coverage": number, "accuracy?": _INTERVAL}},
    "uncertainty?": [
        {"low": number, "high": number, "rows": int, "accuracy?": number, "labels?": number, "contains_truth?": number}
    ],
    "speed?": {"questions_per_second": number},
    **_ORIGIN,
}
_CURVE: Form = {
    "predictor": str,
    "data?": _DATA,
    "points": [{"rows": int, "seed?": int, "accuracy": _INTERVAL}],
    **_ORIGIN,
}


@dataclass(frozen=True)
class Report:
    """One report.json.

    Attributes:
        name: the folder that it lies in, as seen from the folder that was opened.
        content: the file, checked; a section that is missing there is missing here.
    """

    name: str
    content: dict[str, Any]

    @property
    def predictor(self) -> str:
        return str(self.content["predictor"])

    @property
    def protocol(self) -> str:
        return str(self.content["data"]["protocol"])

    @property
    def split(self) -> str:
        return str(self.content["data"]["split"])

    @property
    def rows(self) -> int:
        return int(self.content["data"]["rows"])

    @property
    def with_options(self) -> bool:
        return bool(self.content["data"].get("with_options"))

    @property
    def prior_correction(self) -> str:
        return str(self.content["data"].get("prior_correction") or "none")

    @property
    def measured_on(self) -> str:
        """What reports must have in common to be compared figure by figure."""
        shown = "with the answer options" if self.with_options else "question text only"
        prior = "" if self.prior_correction == "none" else f", prior correction {self.prior_correction}"
        return f"{self.protocol} {self.split}, {self.rows:,} rows, {shown}{prior}"

    @property
    def accuracy(self) -> Interval:
        return Interval(**self.content["metrics"]["accuracy"])

    def metric(self, name: str) -> Interval | None:
        found = self.content["metrics"].get(name)
        return Interval(**found) if found else None

    def section(self, name: str) -> Any:
        """A part of the report; an empty dict where it has none."""
        return self.content.get(name) or {}


@dataclass(frozen=True)
class Reports:
    """What a folder holds: the report to show in full, all others, and the learning curves.

    Attributes:
        held_out: the report of the main predictor on sources that it was not trained on, one of `others`.
    """

    main: Report
    others: list[Report]
    held_out: Report | None
    curves: list[dict[str, Any]]


def open_reports(folder: Path, main: str = "") -> Reports:
    """Reads every report.json and learning_curve.json in `folder` and up to three folders below it.

    Args:
        main: the name of the sub-folder whose report is shown in full. Without it, that is the first by name that
            was measured on `grouped` `test` with the question's text only, else the first of all.

    Raises:
        DataError: no report, a damaged one, one of another schema version, or no report of the name `main`.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give one that 'subjectwise evaluate --output' wrote.")
    reports = [Report(_name(path, folder), _read(path, _REPORT)) for path in _find(folder, "report.json")]
    if not reports:
        raise DataError(f"{folder} holds no report.json; write one with 'subjectwise evaluate --output'.")
    curves = [_read(path, _CURVE) for path in _find(folder, "learning_curve.json")]
    chosen = _choose(reports, main, folder)
    others = [report for report in reports if report is not chosen]
    return Reports(chosen, others, _held_out(chosen, others), [curve for curve in curves if curve["points"]])


def _find(folder: Path, file: str) -> Iterator[Path]:
    for depth in range(DEPTH + 1):
        for path in sorted(folder.glob("*/" * depth + file)):
            # A name with a dot first is that of a folder still being written.
            if not any(part.startswith(".") for part in path.relative_to(folder).parts):
                yield path


def _name(path: Path, folder: Path) -> str:
    inside = path.parent.relative_to(folder).as_posix()
    return folder.resolve().name if inside == "." else inside


def _read(path: Path, form: Form) -> dict[str, Any]:
    content = read_json(path, DataError)
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path} has the schema version {version}, and this subjectwise reads {SCHEMA_VERSION}; measure again."
        )
    if fault := _fault(content, form, ""):
        raise DataError(f"{path} is damaged: {fault}. Measure again.")
    counts = (content.get("confusion") or {}).get("counts", [])
    if counts and any(len(row) != len(content["confusion"]["labels"]) for row in [counts, *counts]):
        raise DataError(f"{path} is damaged: confusion is not a row and a column for each label. Measure again.")
    return content


def _fault(value: Any, form: Form, place: str) -> str:
    """What is wrong with `value`, or nothing."""
    if isinstance(form, list):
        if not isinstance(value, list):
            return f"{place} is not a list"
        return next((fault for i, item in enumerate(value) if (fault := _fault(item, form[0], f"{place}[{i}]"))), "")
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return f"{place or 'the file'} is not an object"
        any_key = str in form
        for field in value if any_key else form:
            key = field if any_key else field.removesuffix("?")
            inside = f"{place}.{key}".lstrip(".")
            if key != field and value.get(key) is None:
                continue
            if key not in value:
                return f"{inside} is missing"
            if fault := _fault(value[key], form[str if any_key else field], inside):
                return fault
        return ""
    kinds = (int, float) if form is number else form
    # To Python, true is a whole number too.
    if not isinstance(value, kinds) or (isinstance(value, bool) and form in (int, number)):
        return f"{place} is not {_SPOKEN[form]}"
    return ""


_SPOKEN = {number: "a number", int: "a whole number", str: "text", bool: "true or false"}


def _choose(reports: list[Report], main: str, folder: Path) -> Report:
    if main:
        found = [report for report in reports if main.rstrip("/") in (report.name, report.name.rsplit("/", 1)[-1])]
        if not found:
            names = ", ".join(report.name for report in reports)
            raise DataError(f"{folder} has no report named {main!r}; --main takes one of {names}.")
        return next((report for report in found if report.name == main.rstrip("/")), found[0])
    first = sorted(reports, key=lambda report: report.name)
    usual = (r for r in first if (r.protocol, r.split, r.with_options) == ("grouped", "test", False))
    return next(usual, first[0])


def _held_out(main: Report, others: list[Report]) -> Report | None:
    """The `source-held-out` report to set beside a `grouped` one.

    It is that of the same predictor. A model trained for each protocol has two names, so that failing this it is
    the only one whose sub-folder's name begins as the main one's does, up to the word `grouped`.
    """
    if main.protocol != "grouped":
        return None
    alike = [
        other
        for other in others
        if other.protocol == "source-held-out"
        and (other.split, other.with_options, other.prior_correction)
        == (main.split, main.with_options, main.prior_correction)
    ]
    for other in alike:
        if other.predictor == main.predictor:
            return other
    beginning = main.name.split("grouped")[0].rstrip("-_./ ")
    named_alike = [other for other in alike if other.name.startswith(beginning)]
    return named_alike[0] if len(named_alike) == 1 else None
