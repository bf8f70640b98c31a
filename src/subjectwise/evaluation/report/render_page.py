"""Renders a folder of reports, or a comparison, as one HTML page that needs no network, no script and no other file.

What is shown is gathered in headline_sections.py, kind_sections.py and page_sections.py; the text is in page.html, the
look in page.css.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from subjectwise.evaluation.comparison import Comparison
from subjectwise.evaluation.report import headline_sections, kind_sections, page_sections
from subjectwise.evaluation.report.chart_geometry import FULL_CONFUSION
from subjectwise.evaluation.report.find_reports import ReportFolder, open_reports
from subjectwise.evaluation.report.formatting import (
    breakable_parts,
    clip,
    fixed,
    interval_bar,
    percent,
    percent_range,
    rate,
)
from subjectwise.utils.atomic_files import new_file

PROTOCOLS = {
    "grouped": "near-duplicate questions are on one side of the split",
    "source-held-out": "no measured question has a source of the training rows",
    "reference": "the first 142 rows of each category, split at random",
}

LONGEST_QUESTION = 260


@dataclass(frozen=True)
class WrittenPage:
    """The page that was written, and how many reports it shows."""

    page: Path
    reports: int


def write_page(folder: Path, output: Path | None = None, main: str = "", title: str = "") -> WrittenPage:
    """Write the page of the reports in `folder`, to `folder`/report.html unless `output` is given.

    Args:
        folder: as for `open_reports`.
        output: the file to write.
        main: as for `open_reports`.
        title: the heading of the page.

    Raises:
        DataError: as `open_reports` does.
        OutputError: the page cannot be written.
        SubjectwiseError: Jinja is not installed; the message has the command that installs it.
    """
    reports = open_reports(folder, main)
    path = folder / "report.html" if output is None else output
    html = render_reports(reports, title)
    with new_file(path) as temporary:
        # JSON can spell half of a character, UTF-8 cannot.
        temporary.write_bytes(html.encode("utf-8", errors="replace"))
    return WrittenPage(path, 1 + len(reports.others))


def render_reports(reports: ReportFolder, title: str = "") -> str:
    """Return the page of a folder of reports."""
    report = reports.main.report
    weakest, other_sources = page_sections.sources(report)
    return _render(
        "page.html",
        title=title or f"How well {report.predictor} classifies",
        main=reports.main,
        report=report,
        protocol=PROTOCOLS.get(report.data.protocol, ""),
        origins=kind_sections.origins(reports),
        kinds=kind_sections.ranked_kinds(report),
        noise=kind_sections.noise_rows(report),
        tiles=headline_sections.tiles(report),
        gap=headline_sections.source_gap(reports),
        groups=headline_sections.report_groups(reports),
        confusion=page_sections.confusion(report),
        full_confusion=FULL_CONFUSION,
        calibration=page_sections.calibration(report),
        coverage=page_sections.coverage(report),
        classes=page_sections.classes(report),
        weakest_sources=weakest,
        other_sources=other_sources,
        slices=page_sections.slices(report),
        longest_question=LONGEST_QUESTION,
        curve=page_sections.learning_curves(reports.curves),
        reproduction=page_sections.reproduction(reports),
    )


def render_comparison(comparison: Comparison) -> str:
    """Return the page of a comparison."""
    return _render(
        "comparison.html",
        title="Which predictor classifies best",
        data=comparison.reports[0].report.data,
        reports=comparison.reports,
        pairs=comparison.pairs,
    )


def _render(template: str, **content: Any) -> str:
    import jinja2
    from markupsafe import Markup

    css = resources.files("subjectwise.evaluation.report").joinpath("page.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("subjectwise.evaluation.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        fixed=fixed,
        clip=clip,
        count=lambda rows: f"{rows:,}",
        rate=rate,
        range=percent_range,
        bar=interval_bar,
        breakable=lambda name: Markup("<wbr>").join(breakable_parts(name)),
    )
    return str(
        environment.get_template(template).render(
            css=css, css_sha256=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(), **content
        )
    )
