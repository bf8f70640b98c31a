"""What each part of the page shows, in the order of the page: figures to draw and rows of tables. Knows no HTML.

Measures nothing, but for the interval of the accuracy at a coverage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from subjectwise.evaluation.report import plots
from subjectwise.evaluation.report.reports import Report, Reports
from subjectwise.evaluation.report.svg import FIRST, SECOND
from subjectwise.evaluation.report.words import (
    SPACE,
    Bar,
    bar,
    figure,
    mean,
    percent,
    spread,
    target_percent,
)
from subjectwise.statistics.significance import Interval, wilson_interval

# The share of questions answered that the first screen speaks of.
COVERAGE = 0.75

# Sources shown at once; the rest is folded away.
WEAKEST_SOURCES = 15
PAIRS = 12
ERRORS = 20


@dataclass(frozen=True)
class Tile:
    """One headline figure."""

    name: str
    value: str
    range: str
    bar: Bar | None
    note: str


def tiles(main: Report) -> list[Tile]:
    right, macro_f1, ece = main.accuracy, main.metric("macro_f1"), main.metric("ece")
    tiles = [Tile("Accuracy", percent(right.value), spread(right), bar(right), "the share that is right")]
    if macro_f1:
        note = "every subject counts the same"
        tiles.append(Tile("Macro-F1", figure(macro_f1.value), _range(macro_f1), bar(macro_f1), note))
    if ece:
        bound = main.section("calibration").get("perfect_ece_p95")
        note = "" if bound is None else f"perfect calibration can show up to {figure(bound)}"
        drawn = bar(ece, last=max(0.05, 1.25 * max(ece.high, bound or 0.0)), mark=bound)
        tiles.append(Tile("Calibration error (ECE)", figure(ece.value), _range(ece), drawn, note))
    curve = main.section("risk_coverage")
    if point := next((point for point in curve if point["coverage"] >= COVERAGE - 1e-9), None):
        answered = round(point["coverage"] * main.rows)
        sure = wilson_interval(round(point["accuracy"] * answered), answered)
        note = f"answers only from a confidence of {figure(point['threshold'], 2)} on"
        name = f"Accuracy at {percent(COVERAGE, 0)} coverage"
        tiles.append(Tile(name, percent(point["accuracy"]), spread(sure), bar(sure), note))
    return tiles


def _range(interval: Interval) -> str:
    return f"{figure(interval.low)} to {figure(interval.high)}"


def gap(reports: Reports) -> dict[str, Any] | None:
    main, held_out = reports.main, reports.held_out
    if held_out is None:
        return None
    points = 100 * (main.accuracy.value - held_out.accuracy.value)
    size = f"{abs(points):.1f} points"
    description = (
        f"Accuracy on sources it trained on, {percent(main.accuracy.value)}, and on sources it never saw, "
        f"{percent(held_out.accuracy.value)}, with 95{SPACE}% intervals."
    )
    return {
        "size": size,
        "less": points >= 0,
        "main": main,
        "held_out": held_out,
        "plot": plots.gap(main.accuracy, held_out.accuracy, description),
    }


@dataclass(frozen=True)
class Group:
    """Reports on the same rows, the best first."""

    name: str
    reports: list[Report]


def groups(reports: Reports) -> list[Group]:
    """Every report, those on the rows of the main one first; nothing where there is but the main one."""
    found: dict[str, list[Report]] = {}
    for report in [reports.main, *sorted(reports.others, key=lambda other: (other.protocol, other.split, other.name))]:
        found.setdefault(report.measured_on, []).append(report)
    if not reports.others:
        return []
    return [Group(name, sorted(own, key=lambda report: -report.accuracy.value)) for name, own in found.items()]


def confusion(main: Report) -> dict[str, Any] | None:
    table = main.section("confusion")
    pairs = list(main.section("confused_pairs"))[:PAIRS]
    if not table:
        return None
    description = "Confusion matrix: how many questions of each subject were taken for each subject."
    if pairs:
        most = pairs[0]
        description += f" Most often, {most['label']} is taken for {most['predicted']}: {most['rows']:,} times."
    plot = plots.confusion(table["labels"], table["counts"], description)
    return {"plot": plot, "pairs": pairs, "full": plots.FULL_CONFUSION}


def calibration(main: Report) -> dict[str, Any] | None:
    found = main.section("calibration")
    sides = []
    for side, name, color in (("before", "Before", SECOND), ("after", "After", FIRST)):
        measured = found.get(side)
        if measured and measured["reliability"]:
            description = (
                f"Reliability diagram {side} calibration: accuracy against confidence in "
                f"{len(measured['reliability'])} bins. ECE {figure(measured.get('ece'))}."
            )
            plot = plots.reliability(f"reliability-{side}", measured["reliability"], color, description)
            sides.append({"name": name, "heading": f"{name} calibration", "figures": measured, "plot": plot})
    if not sides:
        return None
    if len(sides) == 1:
        # Nothing to tell it from.
        sides[0]["name"], sides[0]["heading"] = "Value", "Confidence and accuracy"
    measures = {"ece": "ECE", "classwise_ece": "Classwise ECE", "nll": "NLL", "brier": "Brier score"}
    rows = [
        {"name": name, "values": [side["figures"].get(key) for side in sides]}
        for key, name in measures.items()
        if any(side["figures"].get(key) is not None for side in sides)
    ]
    return {
        "sides": sides,
        "rows": rows,
        "temperature": found.get("temperature"),
        "bound": found.get("perfect_ece_p95"),
    }


def coverage(main: Report) -> dict[str, Any] | None:
    points, thresholds = main.section("risk_coverage"), main.section("thresholds")
    if not points:
        return None
    # One that no row came up to has no accuracy.
    reached = {target: found for target, found in thresholds.items() if found.get("accuracy")}
    description = "Risk-coverage curve: accuracy on the surest questions against the share of questions answered."
    for target, found in reached.items():
        description += (
            f" The threshold for {target_percent(target)} answers {percent(found['coverage'])} of the questions, "
            f"{percent(found['accuracy']['value'])} of them right."
        )
    return {
        "plot": plots.risk_coverage(points, reached, description),
        "rows": [{"accuracy": None, **found, "target": target_percent(target)} for target, found in thresholds.items()],
    }


def classes(main: Report) -> dict[str, Any] | None:
    per_class = dict(sorted(main.section("per_class").items(), key=lambda item: item[1]["f1"]))
    if not per_class:
        return None
    weakest, strongest = next(iter(per_class)), next(reversed(per_class))
    description = (
        f"F1, precision and recall of each subject. Weakest {weakest}, F1 {figure(per_class[weakest]['f1'], 2)}; "
        f"strongest {strongest}, F1 {figure(per_class[strongest]['f1'], 2)}."
    )
    return {"plot": plots.per_class(per_class, description)}


def sources(main: Report) -> dict[str, Any] | None:
    rows = _shares(main.section("per_source"))
    rows.sort(key=lambda row: (not row["rows"], row["accuracy"]["value"], -row["rows"], row["name"]))
    return {"weakest": rows[:WEAKEST_SOURCES], "rest": rows[WEAKEST_SOURCES:], "count": len(rows)} if rows else None


def slices(main: Report) -> list[dict[str, Any]]:
    names = {"length": "By length of the question", "options": "By answer options"}
    found = main.section("slices")
    return [{"name": names.get(key, f"By {key}"), "rows": _shares(found[key])} for key in found if found[key]]


def _shares(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, **each} for name, each in found.items()]


def errors(main: Report) -> list[Any]:
    return list(main.section("confident_errors"))[:ERRORS]


def curve(files: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    curves: dict[str, dict[int, list[float]]] = {}
    measured_on = set()
    for file in files:
        points = curves.setdefault(_new_name(file["predictor"], curves), {})
        for point in sorted(file["points"], key=lambda point: point["rows"]):
            points.setdefault(point["rows"], []).append(point["accuracy"]["value"])
        if data := file.get("data"):
            measured_on.add(f"{data['protocol']} {data['split']}, {data['rows']:,} rows")
    if not curves:
        return None
    description = "Learning curve: accuracy by the number of training rows."
    for name, points in curves.items():
        least, most = min(points), max(points)
        first, last = percent(mean(points[least])), percent(mean(points[most]))
        description += f" {name}: {first} with {least:,}, {last} with {most:,}."
    counts = sorted({rows for points in curves.values() for rows in points})
    return {
        "plot": plots.learning_curve(curves, description),
        "names": list(curves),
        "rows": [
            {"rows": rows, "means": [mean(points[rows]) if rows in points else None for points in curves.values()]}
            for rows in counts
        ],
        "seeds": max(len(values) for points in curves.values() for values in points.values()),
        "measured_on": sorted(measured_on),
    }


def _new_name(name: str, taken: Mapping[str, Any]) -> str:
    number = 1
    while (found := name if number == 1 else f"{name} ({number})") in taken:
        number += 1
    return found


def origins(reports: Reports) -> dict[str, Any]:
    """Enough to measure everything again. What several files have in common is said once."""
    files = [(report.name, report.content) for report in [reports.main, *reports.others]]
    files += [(f"learning curve of {curve['predictor']}", curve) for curve in reports.curves]
    data = [(name, content.get("data") or {}) for name, content in files]
    return {
        "commands": [(name, content["command"]) for name, content in files if content.get("command")],
        "shared": {
            "Versions": _shared((name, _listed(content.get("versions"))) for name, content in files),
            "Machine": _shared((name, _listed(content.get("machine"))) for name, content in files),
            "Manifest (SHA-256)": _shared((name, own.get("manifest_sha256") or "") for name, own in data),
        },
    }


def _shared(facts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each distinct fact and whose it is; no names where there is but one."""
    names: dict[str, list[str]] = {}
    for name, fact in facts:
        if fact:
            names.setdefault(fact, []).append(name)
    return [(fact, "" if len(names) == 1 else ", ".join(own)) for fact, own in names.items()]


def _listed(facts: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (facts or {}).items() if value not in (None, ""))
