"""Turns a folder of reports into one HTML page that needs no network, no script and no other file.

Knows no figures: what is shown is made in sections.py, and how it looks is said in page.html and page.css.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from subjectwise.errors import SubjectwiseError
from subjectwise.evaluation.report.reports import Reports, open_reports
from subjectwise.evaluation.report.words import bar, clip, figure, joints, percent, spread
from subjectwise.utils.atomic_files import new_file

try:
    import jinja2
    from markupsafe import Markup

    # Its figures are drawn by matplotlib.
    from subjectwise.evaluation.report import sections
except ModuleNotFoundError as error:
    raise SubjectwiseError(
        f"A page of reports needs {error.name}, which is missing; install subjectwise with the `report` extra."
    ) from error

PROTOCOLS = {
    "grouped": "twins and near-twins of a question stay on one side of the split",
    "source-held-out": "no source of a measured question was trained on",
    "reference": "the first 142 rows of each category, split at random",
}

LONGEST_QUESTION = 260


@dataclass(frozen=True)
class Written:
    """The page that was written, and how many reports it shows."""

    page: Path
    reports: int


def write_page(folder: Path, output: Path | None = None, main: str = "", title: str = "") -> Written:
    """Writes the page of the reports in `folder`, to `folder`/report.html unless told otherwise.

    Raises:
        DataError: as `open_reports` does.
        OutputError: the page cannot be written.
    """
    reports = open_reports(folder, main)
    path = folder / "report.html" if output is None else output
    html = render(reports, title)
    with new_file(path) as temporary:
        # JSON can spell half of a character, UTF-8 cannot.
        temporary.write_bytes(html.encode("utf-8", errors="replace"))
    return Written(path, 1 + len(reports.others))


def render(reports: Reports, title: str = "") -> str:
    """The page as text."""
    main = reports.main
    css = resources.files("subjectwise.evaluation.report").joinpath("page.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("subjectwise.evaluation.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent, figure=figure, clip=clip, breakable=lambda name: Markup("<wbr>").join(joints(name))
    )
    environment.filters.update(count=lambda rows: f"{rows:,}", spread=spread)
    environment.globals["bar"] = bar
    return environment.get_template("page.html").render(
        title=title or f"How well {main.predictor} tells subjects apart",
        css=css,
        css_sha256=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        main=main,
        protocol=PROTOCOLS.get(main.protocol, ""),
        tiles=sections.tiles(main),
        gap=sections.gap(reports),
        groups=sections.groups(reports),
        confusion=sections.confusion(main),
        calibration=sections.calibration(main),
        coverage=sections.coverage(main),
        classes=sections.classes(main),
        sources=sections.sources(main),
        slices=sections.slices(main),
        uncertainty=main.section("uncertainty"),
        errors=sections.errors(main),
        longest_question=LONGEST_QUESTION,
        curve=sections.curve(reports.curves),
        origins=sections.origins(reports),
    )
