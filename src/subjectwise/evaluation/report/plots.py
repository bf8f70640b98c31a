"""The figures of the page. Knows no files and no page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from subjectwise.evaluation.report.svg import FIRST, INK, RULE, SECOND, SOFT, add_axes, draw
from subjectwise.evaluation.report.words import clip, mean, target_percent
from subjectwise.statistics.significance import Interval

# Ink on a cell of this strength or less has a contrast of 4.5 to 1, on the light page and on the dark one.
STRONGEST_SHADE = 0.5

# The share of a row's questions at which a wrong cell is at its strongest.
FULL_CONFUSION = 0.15

LONGEST_LABEL = 22

# Width and height of the figures that stand side by side, in CSS pixels: as wide as a telephone's page.
_SQUARE = (364, 344)


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]], description: str) -> str:
    """Rows are the true labels. A cell's strength is its share of its row; right and wrong have a colour each."""
    names = [clip(label, LONGEST_LABEL) for label in labels]
    cell = 37
    left = _text_width(names) + 14
    top = 0.72 * _text_width(names) + 34
    overhang = 0.72 * _text_width(names[-1:]) + 4
    side = cell * len(labels)

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left, overhang, top, 4)
        axes.set(xlim=(0, len(labels)), ylim=(len(labels), 0))
        axes.axis("off")
        for row, (name, found) in enumerate(zip(names, counts, strict=True)):
            total = sum(found)
            axes.text(-0.2, row + 0.5, name, ha="right", va="center")
            axes.text(row + 0.4, -0.2, name, ha="left", va="baseline", rotation=45, rotation_mode="anchor")
            for column, count in enumerate(found):
                if not count:
                    _tile(axes, column, row, RULE, 0.25)
                    continue
                right = row == column
                strength = count / total if right else min(1.0, count / total / FULL_CONFUSION)
                _tile(axes, column, row, FIRST if right else SECOND, max(0.06, strength * STRONGEST_SHADE))
                axes.text(column + 0.5, row + 0.5, f"{count:,}", ha="center", va="center")
        axes.text(-0.2, -0.2, "true ↓   taken for →", ha="right", va="baseline", color=SOFT, size=11)

    return draw("confusion", left + side + overhang, top + side + 4, paint, description)


def _tile(axes: Axes, x: float, y: float, color: str, alpha: float) -> None:
    shape = FancyBboxPatch(
        (x + 0.1, y + 0.1),
        0.8,
        0.8,
        boxstyle="round,pad=0.06",
        facecolor=color,
        alpha=alpha,
        linewidth=0,
        clip_on=False,
    )
    axes.add_patch(shape)


def reliability(name: str, bins: Sequence[Mapping[str, Any]], color: str, description: str) -> str:
    """How often the model is right against how sure it is, with the interval of each bin."""

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, 46, 24, 32, 52)
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, dashes=(4, 4))
        x = [each["confidence"] for each in bins]
        for each in bins:
            axes.plot([each["confidence"]] * 2, [each["low"], each["high"]], color=color, linewidth=2, alpha=0.45)
        axes.plot(x, [each["accuracy"] for each in bins], color=color, marker="o", markersize=6, linewidth=1.5)
        axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="Confidence", title="Accuracy")
        _percent(axes, x=True, y=True)

    return draw(name, *_SQUARE, paint, description)


def risk_coverage(
    points: Sequence[Mapping[str, float]], thresholds: Mapping[str, Mapping[str, Any]], description: str
) -> str:
    """Accuracy on the surest questions against the share of questions answered."""

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, 46, 24, 32, 52)
        axes.plot([p["coverage"] for p in points], [p["accuracy"] for p in points], color=FIRST)
        lowest = min(point["accuracy"] for point in points)
        for target, found in thresholds.items():
            accuracy = found["accuracy"]
            axes.plot([found["coverage"]] * 2, [accuracy["low"], accuracy["high"]], color=SECOND, alpha=0.5)
            axes.plot(found["coverage"], accuracy["value"], "o", color=SECOND, markersize=8)
            # The curve falls, so that above it on its right and below it on its left there is room for words.
            above = found["coverage"] < 0.55
            axes.annotate(
                f"aimed at {target_percent(target)}",
                (found["coverage"], accuracy["value"]),
                (9, 5) if above else (-9, -5),
                textcoords="offset points",
                ha="left" if above else "right",
                va="bottom" if above else "top",
            )
            lowest = min(lowest, accuracy["low"])
        bottom = max(0.0, lowest - 0.1 * (1 - lowest) - 0.01)
        axes.set(xlim=(0, 1.01), ylim=(bottom, 1 + 0.07 * (1 - bottom)))
        axes.set(xlabel="Questions answered", title="Accuracy on those")
        _percent(axes, x=True, y=True)

    return draw("risk-coverage", *_SQUARE, paint, description)


def per_class(figures: Mapping[str, Mapping[str, float]], description: str) -> str:
    """A bar of F1 for each label, weakest first, with its precision and recall marked."""
    names = [clip(label, LONGEST_LABEL) for label in figures]
    left, row = _text_width(names) + 14, 27
    height = row * len(names) + 62

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left, 38, 30, 32)
        places = range(len(names))
        for place, found in enumerate(figures.values()):
            axes.text(1.03, place, f"{found['f1']:.2f}", va="center", ha="left")
        axes.barh(places, [found["f1"] for found in figures.values()], height=0.5, color=FIRST, alpha=0.38, label="F1")
        precision, recall = ([found[key] for found in figures.values()] for key in ("precision", "recall"))
        axes.plot(precision, places, "o", color=FIRST, markersize=6, label="precision")
        axes.plot(recall, places, "D", color=SECOND, markersize=6, label="recall")
        axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6))
        axes.set_yticks(list(places), names, color=INK)
        axes.grid(axis="y", visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
        handles, texts = axes.get_legend_handles_labels()
        order = sorted(range(3), key=lambda place: texts[place])
        axes.legend(
            [handles[place] for place in order], [texts[place] for place in order], loc="lower left",
            bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, borderpad=0, handlelength=1, handletextpad=0.4,
        )  # fmt: skip

    return draw("per-class", left + 290, height, paint, description)


def gap(known: Interval, unseen: Interval, description: str) -> str:
    """Accuracy on sources that were trained on and on sources that were not, a dot each."""
    low, high = min(known.low, unseen.low), max(known.high, unseen.high)
    room = max(0.08, 0.35 * (high - low))

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, 24, 24, 4, 34)
        first, last = max(0.0, low - room), min(1.0, high + room)
        axes.plot([unseen.value, known.value], [0, 0], color=SOFT, linewidth=1.5)
        for found, color, name, y in (
            (known, FIRST, "known sources", 0.5),
            (unseen, SECOND, "new sources", -0.5),
        ):
            axes.plot([found.low, found.high], [0, 0], color=color, alpha=0.4, linewidth=8, solid_capstyle="round")
            axes.plot(found.value, 0, "o", color=color, markersize=11)
            side = "left" if found.value < (first + last) / 2 else "right"
            words = f"{100 * found.value:.1f} % on {name}"
            axes.text(found.value, y, words, ha=side, va="center", size=13, color=color)
        axes.set(xlim=(first, last), ylim=(-1, 1))
        axes.yaxis.set_major_locator(NullLocator())
        axes.spines["left"].set_visible(False)
        _percent(axes, x=True)

    return draw("gap", 420, 140, paint, description)


def learning_curve(curves: Mapping[str, Mapping[int, Sequence[float]]], description: str) -> str:
    """Accuracy by the number of training rows, a line for each predictor: {name: {rows: an accuracy for each seed}}."""

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, 46, 24, 32, 52)
        styles = [(FIRST, "-"), (SECOND, "-"), (SOFT, "-"), (FIRST, ":"), (SECOND, ":"), (SOFT, ":")]
        for place, (name, points) in enumerate(curves.items()):
            color, line = styles[place % len(styles)]
            rows = sorted(points)
            lowest, highest = ([end(points[n]) for n in rows] for end in (min, max))
            axes.fill_between(rows, lowest, highest, color=color, alpha=0.18, linewidth=0)
            means = [mean(points[n]) for n in rows]
            axes.plot(rows, means, line, color=color, marker="o", markersize=6, label=clip(name, 40))
        ticks = sorted({n for points in curves.values() for n in points})
        axes.set_xscale("log")
        axes.set(xlabel="Training rows", title="Accuracy")
        axes.xaxis.set_major_locator(FixedLocator(_apart(ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
        axes.margins(y=0.12)
        _percent(axes, y=True)
        axes.legend(loc="lower right")

    return draw("learning-curve", 640, 380, paint, description)


def _apart(ticks: Sequence[int]) -> list[int]:
    """Those that are far enough from each other on a log axis for their numbers to be read."""
    kept: list[int] = []
    for tick in sorted(ticks, reverse=True):
        if not kept or tick <= kept[-1] / 1.35:
            kept.append(tick)
    return kept


def _percent(axes: Axes, x: bool = False, y: bool = False) -> None:
    for wanted, axis in ((x, axes.xaxis), (y, axes.yaxis)):
        if wanted:
            axis.set_major_formatter(FuncFormatter(lambda share, _: f"{round(100 * share, 1):g} %"))


def _text_width(names: Sequence[str]) -> float:
    """Room for the longest of `names`, in pixels; the page's font is not known here, so that it is generous."""
    return 7.0 * max((len(name) for name in names), default=0)
