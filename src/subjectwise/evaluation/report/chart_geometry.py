"""Where the marks of each chart lie, in CSS pixels. Knows no files, no colours and no SVG: charts.svg.jinja draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from subjectwise.evaluation.report.formatting import SPACE, clip, mean, percent_name
from subjectwise.evaluation.report_schema import ClassMetrics, ConfusionMatrix, ReliabilityPoint, ThresholdResult
from subjectwise.statistics.intervals import Interval
from subjectwise.statistics.metrics import CoveragePoint

# Ink on a cell of this opacity or less has a contrast of 4.5 to 1, on the light page and on the dark one.
STRONGEST_SHADE = 0.5

# The share of a row's questions at which a wrong cell has its strongest colour.
FULL_CONFUSION = 0.15

LONGEST_LABEL = 22
LONGEST_CURVE_NAME = 40

# Width and height of the charts that are side by side: as wide as a phone's page.
_SQUARE = (364.0, 344.0)

_TICK_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)
_MOST_TICKS = 6


@dataclass(frozen=True)
class Scale:
    """A linear scale: values from `first` to `last` are pixels from `start` to `end`."""

    first: float
    last: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        return round(self.start + (value - self.first) / (self.last - self.first) * (self.end - self.start), 2)


@dataclass(frozen=True)
class Tick:
    """A grid line, and the text beside it."""

    at: float
    text: str


@dataclass(frozen=True)
class Axes:
    """The size of a chart, the edges of its plot area, its grid and its titles."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_title: str = ""
    y_title: str = ""


@dataclass(frozen=True)
class Dot:
    """A point, the vertical range of its interval, and a text beside it where it has one."""

    x: float
    y: float
    low: float = 0.0
    high: float = 0.0
    text: str = ""
    text_before: bool = False


@dataclass(frozen=True)
class LineChart:
    """Dots, joined by a line; `diagonal` is the line of perfect calibration, where there is one."""

    axes: Axes
    path: str
    dots: tuple[Dot, ...]
    diagonal: str = ""


def reliability_chart(bins: Sequence[ReliabilityPoint]) -> LineChart:
    """Return accuracy against confidence, a dot per bin."""
    x, y, axes = _square((0.0, 1.0), (0.0, 1.0), "Confidence", "Accuracy")
    dots = tuple(Dot(x(each.confidence), y(each.accuracy), y(each.low), y(each.high)) for each in bins)
    return LineChart(axes, _path([(dot.x, dot.y) for dot in dots]), dots, _path([(x(0), y(0)), (x(1), y(1))]))


def coverage_chart(curve: Sequence[CoveragePoint], thresholds: Mapping[str, ThresholdResult]) -> LineChart:
    """Return accuracy on the most confident questions against the share answered, a dot per threshold."""
    reached = {target: (each.coverage, each.accuracy) for target, each in thresholds.items() if each.accuracy}
    lowest = min([point.accuracy for point in curve] + [accuracy.low for _, accuracy in reached.values()])
    bottom = max(0.0, lowest - 0.1 * (1 - lowest) - 0.01)
    x, y, axes = _square((0.0, 1.0), (bottom, 1 + 0.07 * (1 - bottom)), "Questions answered", "Accuracy on those")
    dots = tuple(
        # The curve falls, so that above it on its right and below it on its left there is room for text.
        Dot(
            x(coverage), y(accuracy.value), y(accuracy.low), y(accuracy.high),
            text=f"target {percent_name(target)}", text_before=coverage >= 0.55,
        )
        for target, (coverage, accuracy) in reached.items()
    )  # fmt: skip
    return LineChart(axes, _path([(x(point.coverage), y(point.accuracy)) for point in curve]), dots)


def _square(
    x_range: tuple[float, float], y_range: tuple[float, float], x_title: str, y_title: str
) -> tuple[Scale, Scale, Axes]:
    width, height = _SQUARE
    x, y = Scale(*x_range, 46, width - 24), Scale(*y_range, height - 52, 32)
    axes = Axes(
        width, height, x.start, x.end, y.end, y.start, _percent_ticks(x), _percent_ticks(y), x_title, y_title
    )  # fmt: skip
    return x, y, axes


def _percent_ticks(scale: Scale) -> tuple[Tick, ...]:
    """Return the multiples of the smallest round step of which at most six lie on the scale."""
    for step in _TICK_STEPS:
        first, last = math.ceil(scale.first / step - 1e-9), math.floor(min(scale.last, 1.0) / step + 1e-9)
        if last - first < _MOST_TICKS:
            break
    shares = [number * step for number in range(first, last + 1)]
    return tuple(Tick(scale(share), f"{round(100 * share, 1):g}{SPACE}%") for share in shares)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


@dataclass(frozen=True)
class Cell:
    """A cell of the confusion matrix; it has no count where no row is in it."""

    x: float
    y: float
    kind: str
    opacity: float
    count: int


@dataclass(frozen=True)
class ConfusionChart:
    """The confusion matrix: a row per true label, a column per predicted one, the names of both, square cells."""

    width: float
    height: float
    left: float
    top: float
    cell: float
    names: tuple[str, ...]
    cells: tuple[Cell, ...]


def confusion_chart(matrix: ConfusionMatrix) -> ConfusionChart:
    """Return the confusion matrix; the opacity of a cell is its share of its row, of a wrong one from 15 % on 1."""
    names = [clip(label, LONGEST_LABEL) for label in matrix.labels]
    cell = 37.0
    left, top = _text_width(names) + 14, 0.72 * _text_width(names) + 34
    overhang = 0.72 * _text_width(names[-1:]) + 4  # of the last column's slanted name
    cells = []
    for row, counts in enumerate(matrix.counts):
        for column, count in enumerate(counts):
            x, y = left + cell * column, top + cell * row
            if not count:
                cells.append(Cell(x, y, "empty", 0.25, 0))
                continue
            share = count / sum(counts)
            strength = share if row == column else min(1.0, share / FULL_CONFUSION)
            opacity = round(max(0.06, strength * STRONGEST_SHADE), 3)
            cells.append(Cell(x, y, "right" if row == column else "wrong", opacity, count))
    side = cell * len(names)
    return ConfusionChart(left + side + overhang, top + side + 4, left, top, cell, tuple(names), tuple(cells))


@dataclass(frozen=True)
class ClassRow:
    """A label with the positions of its metrics."""

    name: str
    y: float
    f1: float
    precision: float
    recall: float
    text: str


@dataclass(frozen=True)
class ClassChart:
    """A bar of F1 per label, with precision and recall marked."""

    axes: Axes
    rows: tuple[ClassRow, ...]


def class_chart(per_class: Mapping[str, ClassMetrics]) -> ClassChart:
    """Return F1, precision and recall of each label, in the order given."""
    names = [clip(label, LONGEST_LABEL) for label in per_class]
    row, left = 27.0, _text_width(names) + 14
    width, height = left + 290, row * len(names) + 62
    x = Scale(0, 1, left, width - 38)
    ticks = tuple(Tick(x(share), f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1))
    rows = tuple(
        ClassRow(name, 30 + row * (index + 0.5), x(each.f1), x(each.precision), x(each.recall), f"{each.f1:.2f}")
        for index, (name, each) in enumerate(zip(names, per_class.values(), strict=True))
    )
    return ClassChart(Axes(width, height, left, width - 38, 30, height - 32, ticks, ()), rows)


@dataclass(frozen=True)
class GapMark:
    """An accuracy on the gap's axis, its interval and its text."""

    kind: str
    at: float
    low: float
    high: float
    text: str
    text_before: bool


@dataclass(frozen=True)
class GapChart:
    """Accuracy on known and on unseen sources, on one axis."""

    axes: Axes
    known: GapMark
    unseen: GapMark


def gap_chart(known: Interval, unseen: Interval) -> GapChart:
    """Return accuracy on sources that were trained on and on sources that were not."""
    low, high = min(known.low, unseen.low), max(known.high, unseen.high)
    room = max(0.08, 0.35 * (high - low))
    width, height = 420.0, 140.0
    x = Scale(max(0.0, low - room), min(1.0, high + room), 24, width - 24)
    middle = (x.first + x.last) / 2

    def mark(interval: Interval, kind: str, name: str) -> GapMark:
        text = f"{100 * interval.value:.1f}{SPACE}% on {name}"
        return GapMark(kind, x(interval.value), x(interval.low), x(interval.high), text, interval.value >= middle)

    axes = Axes(width, height, x.start, x.end, 4, height - 34, _percent_ticks(x), ())
    return GapChart(axes, mark(known, "known", "known sources"), mark(unseen, "unseen", "unseen sources"))


@dataclass(frozen=True)
class CurveSeries:
    """A predictor's learning curve: its mean over the seeds, and the band from the lowest to the highest seed."""

    name: str
    band: str
    path: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class CurveChart:
    """Accuracy by the number of training rows, a series per predictor."""

    axes: Axes
    series: tuple[CurveSeries, ...]


def curve_chart(curves: Mapping[str, Mapping[int, Sequence[float]]]) -> CurveChart:
    """Return learning curves, given as {name: {training rows: one accuracy per seed}}."""
    width, height = 640.0, 380.0
    sizes = sorted({rows for points in curves.values() for rows in points})
    values = [value for points in curves.values() for each in points.values() for value in each]
    room = 0.12 * (max(values) - min(values)) or 0.02
    ends = math.log(sizes[0]), math.log(sizes[-1])
    apart = 0.05 * (ends[1] - ends[0]) or 1.0
    x = Scale(ends[0] - apart, ends[1] + apart, 46, width - 24)
    y = Scale(max(0.0, min(values) - room), max(values) + room, height - 52, 32)
    series = []
    for name, points in curves.items():
        rows = sorted(points)
        across = [x(math.log(count)) for count in rows]
        lowest, highest, means = ([y(of(points[count])) for count in rows] for of in (min, max, mean))
        band = _path([*zip(across, lowest, strict=True), *zip(across[::-1], highest[::-1], strict=True)]) + "Z"
        line = list(zip(across, means, strict=True))
        series.append(CurveSeries(clip(name, LONGEST_CURVE_NAME), band, _path(line), tuple(Dot(*at) for at in line)))
    ticks = tuple(Tick(x(math.log(count)), f"{count:,}") for count in _spaced(sizes))
    axes = Axes(
        width, height, x.start, x.end, y.end, y.start, ticks, _percent_ticks(y), "Training rows", "Accuracy"
    )  # fmt: skip
    return CurveChart(axes, tuple(series))


def _spaced(sizes: Sequence[int]) -> list[int]:
    """Return those that are far enough from each other on a log axis for their numbers to be read."""
    kept: list[int] = []
    for size in sorted(sizes, reverse=True):
        if not kept or size <= kept[-1] / 1.35:
            kept.append(size)
    return kept


def _text_width(names: Sequence[str]) -> float:
    """Return room for the longest of `names`; generous, since the page's font is not known here."""
    return 7.0 * max((len(name) for name in names), default=0)
