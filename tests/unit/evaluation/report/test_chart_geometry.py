"""Charts put marks where the values are."""

from __future__ import annotations

import math

import pytest

from subjectwise.evaluation.report import chart_geometry as charts
from subjectwise.evaluation.report_schema import ClassMetrics, ConfusionMatrix, ReliabilityPoint, ThresholdResult
from subjectwise.statistics.intervals import Interval
from subjectwise.statistics.metrics import CoveragePoint


def test_a_scale_is_linear_and_may_run_backwards() -> None:
    scale = charts.Scale(0.5, 1.0, 300, 100)
    assert [scale(0.5), scale(0.75), scale(1.0)] == [300, 200, 100]


def test_reliability_is_drawn_up_to_scale() -> None:
    chart = charts.reliability_chart([ReliabilityPoint(9, 0.0, 0.0, 0.0, 0.5), ReliabilityPoint(9, 1.0, 1.0, 0.5, 1.0)])
    axes = chart.axes
    first, last = chart.dots
    assert (first.x, first.y) == (axes.left, axes.bottom) and (last.x, last.y) == (axes.right, axes.top)
    assert first.high == last.low == pytest.approx((axes.top + axes.bottom) / 2)
    assert chart.path == chart.diagonal
    assert [tick.text for tick in axes.x_ticks] == [f"{share}\u202f%" for share in (0, 20, 40, 60, 80, 100)]


def test_thresholds_are_on_the_coverage_chart() -> None:
    curve = [CoveragePoint(0.5, 1.0, 0.9), CoveragePoint(1.0, 0.9, 0.3)]
    thresholds = {
        "0.95": ThresholdResult(threshold=0.5, coverage=0.75, accuracy=Interval(0.95, 0.9, 0.97)),
        "0.99": ThresholdResult(threshold=0.99, coverage=0.0, accuracy=None),
    }
    chart = charts.coverage_chart(curve, thresholds)
    [dot] = chart.dots
    assert dot.text == "target 95\u202f%" and dot.text_before
    assert dot.high < dot.y < dot.low <= chart.axes.bottom, "pixels grow downwards"
    assert all(chart.axes.top <= tick.at <= chart.axes.bottom for tick in chart.axes.y_ticks)


def test_ticks_of_a_narrow_range() -> None:
    curve = [CoveragePoint(0.5, 1.0, 0.9), CoveragePoint(1.0, 0.999, 0.3)]
    chart = charts.coverage_chart(curve, {})
    assert 2 <= len(chart.axes.y_ticks) <= 6
    assert len({tick.text for tick in chart.axes.y_ticks}) == len(chart.axes.y_ticks)


def test_the_colour_of_a_cell_is_its_share_of_its_row() -> None:
    chart = charts.confusion_chart(ConfusionMatrix(["a", "b" * 30], [[9, 1], [0, 4]]))
    right, wrong, empty, all_right = chart.cells
    assert [cell.kind for cell in chart.cells] == ["right", "wrong", "empty", "right"]
    assert [cell.count for cell in chart.cells] == [9, 1, 0, 4]
    assert right.opacity == pytest.approx(0.45) and all_right.opacity == charts.STRONGEST_SHADE
    assert wrong.opacity == pytest.approx(charts.STRONGEST_SHADE * 0.1 / charts.FULL_CONFUSION, abs=1e-3)
    assert (empty.x, empty.y) == (chart.left, chart.top + chart.cell)
    assert chart.names == ("a", "b" * 21 + "…")


def test_a_row_per_class_in_their_order() -> None:
    per_class = {"x": ClassMetrics(5, 0.0, 1.0, 0.5), "y": ClassMetrics(5, 1.0, 1.0, 1.0)}
    chart = charts.class_chart(per_class)
    first, second = chart.rows
    assert (first.precision, first.recall) == (chart.axes.left, chart.axes.right)
    assert first.f1 == pytest.approx((chart.axes.left + chart.axes.right) / 2)
    assert first.y < second.y < chart.axes.bottom and second.text == "1.00"


def test_the_gap_has_both_intervals_within_its_axis() -> None:
    chart = charts.gap_chart(Interval(0.9, 0.88, 0.92), Interval(0.6, 0.57, 0.63))
    for mark in (chart.known, chart.unseen):
        assert chart.axes.left <= mark.low < mark.at < mark.high <= chart.axes.right
    assert chart.known.text_before and not chart.unseen.text_before


def test_learning_curves_are_on_a_log_axis() -> None:
    chart = charts.curve_chart({"a": {10: [0.5, 0.7], 100: [0.8], 1000: [0.9]}, "b": {100: [0.6]}})
    a, b = chart.series
    across = [dot.x for dot in a.dots]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.02)
    assert b.dots[0].x == across[1]
    assert [tick.text for tick in chart.axes.x_ticks] == ["1,000", "100", "10"]
    assert a.band.endswith("Z") and a.band.count("L") == 5


def test_a_curve_of_one_point_is_drawn() -> None:
    chart = charts.curve_chart({"a": {50: [0.5]}})
    [dot] = chart.series[0].dots
    assert math.isfinite(dot.x) and chart.axes.left < dot.x < chart.axes.right
    assert chart.axes.top < dot.y < chart.axes.bottom


def test_sizes_that_are_close_have_one_number() -> None:
    chart = charts.curve_chart({"a": {100: [0.5], 110: [0.5], 1000: [0.6]}})
    assert [tick.text for tick in chart.axes.x_ticks] == ["1,000", "110"]
