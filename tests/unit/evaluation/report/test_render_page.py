from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from helpers.report_files import make_curve, make_evaluation, make_report, put
from subjectwise.cli.report import report as command
from subjectwise.errors import DataError
from subjectwise.evaluation.comparison import compare, read_measured
from subjectwise.evaluation.report.chart_geometry import STRONGEST_SHADE
from subjectwise.evaluation.report.render_page import render_comparison, write_page
from subjectwise.evaluation.report_files import read_report, write_evaluation
from subjectwise.types import FloatArray


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("reports")
    put(parent / "baselines/tfidf-grouped", make_report("baseline:tfidf-svm", skill=3.0, seed=1))
    put(parent / "models/shipped-grouped", make_report())
    put(parent / "models/shipped-options", make_report(with_options=True, seed=2))
    put(parent / "models/shipped-source-held-out", make_report("other-name", "source-held-out", skill=2.5, seed=3))
    put(parent / "models/curve", make_curve(), "learning_curve.json")
    put(parent / ".unfinished", {}, "report.json")
    return parent


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    written = write_page(folder, main="shipped-grouped")
    assert (written.page, written.reports) == (folder / "report.html", 4)
    return written.page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def comparison_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    parent = tmp_path_factory.mktemp("compared")
    for name, with_options in (("<b>strong", True), ("weak", False)):
        evaluation = make_evaluation(with_options=with_options)
        write_evaluation(parent / name, evaluation.report, evaluation.predictions)
    return render_comparison(compare([read_measured(path) for path in sorted(parent.iterdir())]))


class Reader(HTMLParser):
    """Collects the text, the tags and every attribute of a page, and checks that tags are closed in order."""

    VOID = {"meta", "link", "br", "img", "hr"}

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(page.replace("<wbr>", ""))
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in self.VOID and not self.get_starttag_text().endswith("/>"):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += " ".join(data.split()) + " "


def spelled(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def test_the_page_has_the_metrics(folder: Path, page: str) -> None:
    text = Reader(page).text
    report = read_report(folder / "models/shipped-grouped/report.json")
    accuracy, macro_f1, ece = report.metrics.accuracy, report.metrics.macro_f1, report.metrics.ece
    assert macro_f1 is not None and ece is not None and report.calibration is not None
    assert all(f"{100 * end:.1f}" in text for end in (accuracy.value, accuracy.low, accuracy.high))
    assert all(f"{end:.3f}" in text for end in (macro_f1.value, macro_f1.low, macro_f1.high, ece.value))
    assert f"{report.calibration.perfect_ece_p95:.3f}" in text
    most_confident = report.risk_coverage[74]
    assert most_confident.coverage >= 0.75 and spelled(most_confident.accuracy) in text
    other = read_report(folder / "models/shipped-source-held-out/report.json")
    loss = 100 * (accuracy.value - other.metrics.accuracy.value)
    assert loss > 0 and f"Unseen sources cost {loss:.1f} points" in text
    assert other.metrics.nll is not None
    assert f"{other.metrics.nll.value:.3f}" in text and "baseline:tfidf-svm" in text
    pair = report.confused_pairs[0]
    assert pair.label in text and spelled(pair.share) in text
    assert set(report.thresholds) == {"0.95", "0.99"}
    for threshold in report.thresholds.values():
        assert f"{threshold.threshold:.3f}" in text and spelled(threshold.coverage) in text
    for name, row in [*report.per_source.items(), *report.slices["length"].items()]:
        assert name in text and spelled(row.accuracy.value) in text
    for band in report.uncertainty:
        assert not band.rows or spelled(band.contains_truth or 0) in text
    assert text.count("alert(1)") == len(report.confident_errors) > 5
    assert report.command in text and report.data.manifest_sha256 in text
    assert f"python {report.versions['python']}" in text
    assert "subjectwise x" in text and "The mean over seeds" in text
    assert "US$ and $" in text


def test_charts_show_what_was_counted(folder: Path, page: str) -> None:
    report = read_report(folder / "models/shipped-grouped/report.json")
    assert report.confusion is not None
    plot = re.search(r'<svg class="plot"[^>]*aria-label="Confusion matrix.*?</svg>', page, re.DOTALL)
    assert plot is not None
    counts = [int(cell) for cell in re.findall(r">(\d+)</text>", plot.group())]
    assert counts == [cell for row in report.confusion.counts for cell in row if cell]
    names = re.findall(r'<svg class="plot" role="img" aria-label="([^"]+)"', page)
    assert [name.split(":")[0].split(",")[0] for name in names] == [
        "Accuracy on known sources",
        "Confusion matrix",
        "Reliability diagram before calibration",
        "Reliability diagram after calibration",
        "Risk-coverage curve",
        "F1",
        "Learning curve",
    ]
    assert "nan" not in re.sub(r">[^<]*<", "><", page), "every coordinate is a number"


def check_self_contained(page: str) -> None:
    reader = Reader(page)
    assert not {"script", "link", "img", "iframe", "object", "image", "foreignobject"} & set(reader.tags)
    assert "http:" not in page and "https:" not in page and "@import" not in page and "url(" not in page
    ids = [value for _, key, value in reader.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    for _, key, value in reader.attributes:
        assert key not in ("style", "src") and not key.startswith("on")
        assert key != "href" or (value[0] == "#" and value[1:] in ids), "links lead to sections"
        assert key != "aria-labelledby" or value in ids
    css = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert css is not None
    assert f"'sha256-{base64.b64encode(hashlib.sha256(css.group(1).encode()).digest()).decode()}'" in page


def test_the_pages_need_nothing_else(page: str, comparison_page: str) -> None:
    check_self_contained(page)
    check_self_contained(comparison_page)


def test_light_and_dark(page: str) -> None:
    assert "prefers-color-scheme: dark" in page and 'name="color-scheme" content="light dark"' in page
    light, dark = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    variables = set(re.findall(r"(--\w+):", light))
    assert variables == set(re.findall(r"(--\w+):", dark))
    css, body = page.split("<body>")
    assert set(re.findall(r"var\((--\w+)\)", css)) <= variables
    assert not re.search(r"#[0-9a-f]{6}\b|rgb|fill=|stroke=", body), "every colour is in the style sheet"
    assert not re.search(r"#[0-9a-f]{3}", css.split("/* Type */")[1].split("</style>")[0])
    for scheme in (light, dark):
        color = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        for name in ("ink", "soft", "first", "second"):
            for ground in ("paper", "raised"):
                assert contrast(color[name], color[ground]) >= 4.5
        for name in ("first", "second"):
            assert contrast(color["ink"], blend(color[name], color["paper"], STRONGEST_SHADE)) >= 4.5


def channels(color: str) -> FloatArray:
    return np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255


def blend(color: str, ground: str, strength: float) -> str:
    mixed = strength * channels(color) + (1 - strength) * channels(ground)
    return "#" + "".join(f"{round(255 * part):02x}" for part in mixed)


def contrast(first: str, second: str) -> float:
    """The contrast of two colours as WCAG 2 defines it."""

    def luminance(color: str) -> float:
        shares = channels(color)
        linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_foreign_text_is_escaped(page: str, comparison_page: str) -> None:
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert "<b>law" not in page and "&lt;b&gt;law" in page
    assert "<b>strong" not in comparison_page and "&lt;b&gt;strong" in comparison_page


def test_the_same_reports_give_the_same_page(folder: Path, page: str, tmp_path: Path) -> None:
    again = write_page(folder, tmp_path / "again.html", main="models/shipped-grouped").page
    assert again.read_text(encoding="utf-8") == page


def test_an_old_report_shows_less(tmp_path: Path) -> None:
    content = make_report()
    for key in (
        "slices", "confused_pairs", "confident_errors", "calibration", "risk_coverage", "thresholds", "uncertainty",
        "per_class", "confusion", "speed", "versions", "machine", "command",
    ):  # fmt: skip
        del content[key]
        text = Reader(write_page(put(tmp_path, content)).page.read_text(encoding="utf-8")).text
        assert f"{content['metrics']['ece']['value']:.3f}" in text
    content["per_source"], content["metrics"] = {}, {"accuracy": content["metrics"]["accuracy"]}
    text = Reader(write_page(put(tmp_path, content), title="Mine & yours").page.read_text(encoding="utf-8")).text
    assert "Mine & yours" in text and spelled(content["metrics"]["accuracy"]["value"]) in text
    for heading in ("Which subjects", "Weakest", "All reports", "Unseen sources", "Uncertainty", "Macro-F1"):
        assert heading not in text


def test_reports_of_0_1_0_are_shown(tmp_path: Path) -> None:
    old = Path(__file__).parents[3] / "data" / "evaluation-0.1.0"
    written = write_page(old, tmp_path / "page.html", main="adapter")
    text = Reader(written.page.read_text(encoding="utf-8")).text
    report = json.loads((old / "adapter/report.json").read_text())
    ece = report["metrics"]["ece"]
    assert written.reports == 2 and spelled(report["metrics"]["accuracy"]["value"]) in text
    assert f"{ece['value']:.3f}" in text and f"{ece['low']:.3f} to {ece['high']:.3f}" not in text


def test_empty_sections_and_unusual_values(tmp_path: Path) -> None:
    content = make_report(rows=60)
    content["calibration"]["before"] = content["calibration"]["temperature"] = None
    content["thresholds"]["0.99"] = {"threshold": 0.999, "coverage": 0.0, "rows": 0, "accuracy": None}
    content["data"]["prior_correction"] = "batch"
    content["per_source"]["none"] = {"rows": 0, "accuracy": {"value": float("nan"), "low": 0.0, "high": 1.0}}
    content["confident_errors"][0]["question"] = "half a letter \ud800, \u202eturned\x0b and " + "long " * 200
    content["confident_errors"][0]["source"] = None
    text = Reader(write_page(put(tmp_path, content)).page.read_text(encoding="utf-8")).text
    assert "nan" not in text.split() and "No temperature" in text
    assert "half a letter" in text and "long long…" in text


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    def refused(part: str, main: str = "") -> None:
        with pytest.raises(DataError, match=re.escape(part)) as caught:
            write_page(tmp_path / "in", main=main)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "in/report.html").exists()

    refused("is not a folder")
    (tmp_path / "in").mkdir()
    refused("has no report.json; write one with")
    path = put(tmp_path / "in", make_report(rows=40)) / "report.json"
    refused("has no report named 'other'; --main takes one of in.", main="other")
    good = path.read_text()
    path.write_text(good[:-40])
    refused("report.json as JSON")
    path.write_text(json.dumps(json.loads(good) | {"metrics": {}}))
    refused("is damaged: metrics.accuracy is missing. Measure again.")
    path.write_text(good)
    put(tmp_path / "in/curve", make_curve() | {"points": None}, "learning_curve.json")
    refused("learning_curve.json is damaged: points is not a list")


def test_the_command(folder: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    run = CliRunner().invoke
    result = run(app, [str(folder), "--output", str(tmp_path / "new/page.html"), "--title", "A title", "--json"])
    assert json.loads(result.stdout) == {"page": str(tmp_path / "new/page.html"), "reports": 4}
    assert "<title>A title</title>" in (tmp_path / "new/page.html").read_text(encoding="utf-8")
    assert run(app, [str(folder), "-o", str(tmp_path / "b.html")]).stdout == f"{tmp_path / 'b.html'}\n"


def test_a_comparison_shows_every_report_and_pair(comparison_page: str) -> None:
    text = Reader(comparison_page).text
    assert "2 predictors on the same 400 rows of grouped test" in text
    assert "with the answer options" in text and "McNemar p" in text and "bound 0.0" in text
