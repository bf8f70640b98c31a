"""A comparison as a table of text, for Markdown and for a page."""

from __future__ import annotations

from dataclasses import dataclass

from subjectwise.evaluation.comparison import Comparison
from subjectwise.evaluation.report_schema import METRIC_NAMES
from subjectwise.statistics.intervals import Interval, Metric

COLUMNS = ("accuracy", "macro_f1", "nll", "brier", "ece")
_PERCENT = ("accuracy", "macro_f1")


@dataclass(frozen=True)
class Table:
    """A caption, the head of each column, and the cells of each row."""

    caption: str
    header: list[str]
    rows: list[list[str]]


def comparison_table(comparison: Comparison) -> Table:
    """Return one row per report, best first; the last two columns compare it with the next row."""
    header = ["", *(METRIC_NAMES[name] for name in COLUMNS), "questions/s", "ahead of the next by", "McNemar p"]
    rows = []
    for index, item in enumerate(comparison.reports):
        options = " (options)" if item.report.data.with_options else ""
        metrics = [metric_text(name, item.report.metrics.named(name)) for name in COLUMNS]
        speed = item.report.speed
        cells = [item.name + options, *metrics, f"{speed.questions_per_second:,.1f}" if speed else ""]
        if index < len(comparison.pairs):
            pair = comparison.pairs[index]
            cells += [metric_text("accuracy", pair.accuracy), f"{pair.mcnemar:.2g}"]
        else:
            cells += ["", ""]
        rows.append(cells)
    data = comparison.reports[0].report.data
    caption = f"{data.protocol} {data.split}, {data.rows:,} rows, 95 % intervals in brackets"
    return Table(caption, header, rows)


def metric_text(name: str, metric: Metric | None) -> str:
    """Return a metric as a table shows it: accuracy and macro-F1 in percent, its interval in brackets."""
    if metric is None:
        return ""
    scale, digits = (100, 1) if name in _PERCENT else (1, 3)
    text = f"{metric.value * scale:.{digits}f}"
    if isinstance(metric, Interval):
        text += f" [{metric.low * scale:.{digits}f}, {metric.high * scale:.{digits}f}]"
    return text


def as_markdown(comparison: Comparison) -> str:
    """Return the comparison as a Markdown table under its caption."""
    table = comparison_table(comparison)
    lines = [table.header, ["---"] * len(table.header), *table.rows]
    text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{table.caption}\n\n{text}\n"
