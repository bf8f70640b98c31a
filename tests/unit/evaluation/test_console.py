"""What is printed of a report and of an audit; names are printed as they are spelled."""

from __future__ import annotations

import pytest

from helpers.report_files import make_evaluation
from subjectwise.evaluation.audit import Audit, AuditedRow, LabelEstimate
from subjectwise.evaluation.console import print_audit, print_report
from subjectwise.evaluation.report_schema import Calibration, EvaluationReport, MeasuredRows, NoiseResult
from subjectwise.statistics.intervals import Interval
from subjectwise.statistics.significance import Metrics

# Names that rich would read as markup, or refuse.
NAMES = ["c[/]x", "[bug]", "[red]law[/red]", ":smile:"]


def test_the_report_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    report = make_evaluation().report
    print_report(report)
    printed = capsys.readouterr().out
    assert "shipped on grouped test, 400 rows, question text only" in printed
    accuracy, ece = report.metrics.accuracy, report.metrics.ece
    assert ece is not None and report.calibration is not None
    lines = {line.split("  ")[0].strip(): line for line in printed.splitlines()}
    assert f"{accuracy.value:.3f}" in lines["accuracy"] and f"{accuracy.low:.3f} to" in lines["accuracy"]
    assert f"{ece.value:.3f}" in lines["ECE"] and " to " not in lines["ECE"], "a calibration error has no interval"
    assert f"shows up to {report.calibration.perfect_ece_p95:.3f}" in printed
    assert f"{report.risk_coverage[74].accuracy:.1%} at 75 %" in printed
    assert f"threshold {report.thresholds['0.95'].threshold:.3f} for 95%" in printed
    assert "20.0 questions/s" in printed


def test_names_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(make_evaluation("predictor[/]", labels=NAMES).report)
    printed = capsys.readouterr().out
    assert "predictor[/] on grouped test" in printed
    for name in NAMES:
        assert name in printed


def test_a_report_with_noise_and_without_much_else(capsys: pytest.CaptureFixture[str]) -> None:
    interval = Interval(0.5, 0.4, 0.6)
    noise = {
        "typos": [NoiseResult("0.05", interval, Interval(-0.1, -0.2, 0.0), interval, 0.7)],
        "case": [NoiseResult("lower", interval, interval, interval, 0.7)],
    }
    data = MeasuredRows("file", "x.csv", 3)
    print_report(EvaluationReport(predictor="p", data=data, metrics=Metrics(interval), robustness=noise))
    printed = capsys.readouterr().out
    assert "typos" in printed and "5%" in printed and "-0.200 to +0.000" in printed and "lower" in printed
    assert "ECE" not in printed
    print_report(EvaluationReport(predictor="p", data=data, metrics=Metrics(interval), calibration=Calibration()))
    assert "0.400 to 0.600" in capsys.readouterr().out


def test_an_audit_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    row = AuditedRow("[7]", "What [/] is it? " + "long " * 40, "[bug]", "c[/]x", 0.9, 0.1, True)
    audit = Audit([row], LabelEstimate(10, 1), {"[bug]": LabelEstimate(10, 1)}, {("[bug]", "c[/]x"): 1}, 0.8)
    print_audit(audit, top=5)
    printed = capsys.readouterr().out
    assert "1 of 10 labels are suspect (10.0%)" in printed and "measured at 90.0%" in printed
    assert "Most frequent: [bug] -> c[/]x 1" in printed
    assert "[7]" in printed and "What [/] is it?" in printed and "…" in printed
    print_audit(audit, top=0)
    assert "What [/] is it?" not in capsys.readouterr().out
