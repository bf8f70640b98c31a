"""Prints reports and audits to a terminal. Names are printed as they are spelled, never read as markup."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from subjectwise.evaluation.audit import Audit
from subjectwise.evaluation.report_schema import (
    METRIC_NAMES,
    Calibration,
    EvaluationReport,
    KindMetrics,
    NoiseResult,
    ScopeMetrics,
)
from subjectwise.statistics.intervals import Interval
from subjectwise.statistics.metrics import CoveragePoint

_REPORT_WIDTH = 120  # where the output is not a terminal
_AUDIT_WIDTH = 160
_QUESTION_CHARACTERS = 110
_AUDIT_PAIRS = 10


def _console(width: int) -> Console:
    return Console(width=None if sys.stdout.isatty() else width, highlight=False, markup=False, emoji=False)


def print_report(report: EvaluationReport) -> None:
    """Print an evaluation report."""
    console = _console(_REPORT_WIDTH)
    data = report.data
    shown = "with options" if data.with_options else "question text only"
    console.print(f"{report.predictor} on {data.protocol} {data.split}, {data.rows:,} rows, {shown}")
    console.print(_metrics_table(report))
    if report.kinds:
        console.print(_kinds_table(report.kinds))
    if report.scope:
        console.print(_scope_text(report.scope))
    classes = Table("label", "rows", "precision", "recall", "F1", box=None)
    for label, row in report.per_class.items():
        values = (f"{value:.3f}" for value in (row.precision, row.recall, row.f1))
        classes.add_row(Text(label), str(row.rows), *values)
    console.print(classes)
    if report.calibration:
        console.print(_calibration_line(report.calibration))
    if report.risk_coverage:
        console.print(_coverage_line(report.risk_coverage))
    for target, result in report.thresholds.items():
        reached = f"{result.accuracy.value:.1%} right" if result.accuracy else "no row answered"
        console.print(
            f"threshold {result.threshold:.3f} for {float(target):.0%} on validation: {reached}, "
            f"{result.coverage:.0%} answered"
        )
    if report.robustness:
        console.print(_robustness_table(report.robustness))
    if report.speed:
        console.print(f"{report.speed.questions_per_second:.1f} questions/s")


def _metrics_table(report: EvaluationReport) -> Table:
    table = Table("", "value", "95 % interval", box=None)
    for key, name in METRIC_NAMES.items():
        metric = report.metrics.named(key)
        if metric is not None:
            interval = f"{metric.low:.3f} to {metric.high:.3f}" if isinstance(metric, Interval) else ""
            table.add_row(name, f"{metric.value:.3f}", interval)
    return table


def _kinds_table(kinds: dict[str, KindMetrics]) -> Table:
    targets = list(dict.fromkeys(target for kind in kinds.values() for target in kind.thresholds))
    promised = [f"{float(target):.0%} promised" for target in targets]
    table = Table("kind", "rows", "accuracy", "any fair label", "lowest label", "ECE, fair", *promised, box=None)
    for name, kind in kinds.items():
        kept = [kind.thresholds[target].accuracy for target in targets]
        table.add_row(
            Text(name), f"{kind.rows:,}", f"{kind.accuracy.value:.1%}", _share(kind.fair_accuracy),
            Text(f"{kind.lowest_label} {kind.lowest_fair_accuracy.value:.0%}"), f"{kind.fair_ece:.3f}",
            *("-" if accuracy is None else f"{accuracy.value:.1%}" for accuracy in kept),
        )  # fmt: skip
    return table


def _scope_text(scope: ScopeMetrics) -> str:
    kinds = ", ".join(f"{kind} {share.value:.1%}" for kind, share in scope.kinds.items())
    return (
        f"requests of no label: AUROC {scope.auroc:.4f}; below in_scope {scope.threshold:.3f} are "
        f"{_share(scope.flagged)} of them and {_share(scope.questions_flagged)} of questions\n  by kind: {kinds}"
    )


def _share(interval: Interval) -> str:
    return f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _calibration_line(calibration: Calibration) -> str:
    after, before = calibration.after, calibration.before
    line = "" if after is None or after.ece is None else f"ECE {after.ece:.3f}"
    if before is not None and before.ece is not None:
        line += f", {before.ece:.3f} before the temperature"
    if calibration.perfect_ece_p95 is not None:
        line += f"; a perfectly calibrated model shows up to {calibration.perfect_ece_p95:.3f} on as many rows"
    return line


def _coverage_line(curve: list[CoveragePoint]) -> str:
    shares = []
    for percent in (50, 75, 90):
        point = next((point for point in curve if point.coverage >= percent / 100 - 1e-9), curve[-1])
        shares.append(f"{point.accuracy:.1%} at {percent} %")
    return f"accuracy on the most confident rows: {', '.join(shares)} coverage"


def _robustness_table(robustness: dict[str, list[NoiseResult]]) -> Table:
    table = Table("noise", "level", "accuracy", "change", "95 % interval", "labels kept", "NLL", box=None)
    for kind, results in robustness.items():
        for result in results:
            level = f"{float(result.level):.0%}" if result.level[:1].isdigit() else result.level
            change = result.change
            table.add_row(
                kind, level, f"{result.accuracy.value:.3f}", f"{change.value:+.3f}",
                f"{change.low:+.3f} to {change.high:+.3f}", f"{result.labels_kept.value:.3f}", f"{result.nll:.3f}",
            )  # fmt: skip
    return table


def print_audit(audit: Audit, top: int) -> None:
    """Print the estimates of an audit, and the `top` rows whose label is most likely wrong."""
    console = _console(_AUDIT_WIDTH)
    overall = audit.overall
    console.print(
        f"{overall.suspects:,} of {overall.rows:,} labels are suspect ({overall.share:.1%}); were all of them wrong, "
        f"a model that is always right would be measured at {overall.ceiling:.1%}."
    )
    console.print(f"The judge agrees with {audit.accuracy:.1%} of the labels: the better it is, the more this tells.")
    labels = Table("label", "rows", "suspects", "share", "ceiling", box=None)
    for label, estimate in audit.per_label.items():
        shares = f"{estimate.share:.1%}", f"{estimate.ceiling:.1%}"
        labels.add_row(Text(label), f"{estimate.rows:,}", f"{estimate.suspects:,}", *shares)
    console.print(labels)
    pairs = [f"{label} -> {suggested} {rows:,}" for (label, suggested), rows in audit.pairs.items()][:_AUDIT_PAIRS]
    if pairs:
        console.print(f"Most frequent: {', '.join(pairs)}")
    if not top:
        return
    rows = Table("row", "label -> suggested", "quality", "question", box=None)
    for row in audit.rows[:top]:
        text = " ".join(row.question.split())
        clipped = text if len(text) <= _QUESTION_CHARACTERS else text[: _QUESTION_CHARACTERS - 1] + "…"
        rows.add_row(Text(row.row_id), Text(f"{row.label} -> {row.suggested}"), f"{row.quality:.3f}", Text(clipped))
    console.print(rows)
