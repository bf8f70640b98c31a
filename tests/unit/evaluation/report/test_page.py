from __future__ import annotations

import base64
import hashlib
import importlib
import json
import re
import sys
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from subjectwise.cli.report import report as command
from subjectwise.errors import DataError, SubjectwiseError
from subjectwise.evaluation.report.page import write_page
from subjectwise.evaluation.report.reports import open_reports
from subjectwise.statistics import metrics, significance
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.statistics.thresholds import BANDS, entropy_band, find_thresholds, likely_labels, normalised_entropy
from subjectwise.types import FloatArray, IntArray

LABELS = ["biology", "computer science", "law", "US$ and $"]
QUESTION = "Why is <script>alert(1)</script> & \"x\" 'y' wrong?"


def make_predictions(
    labels: list[str], rows: int, skill: float, seed: int, temperature: float = 1.6
) -> tuple[FloatArray, IntArray]:
    """Log-probabilities that state too much by `temperature`, [rows, labels], and the truth they were drawn with."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, len(labels)))
    logits += skill * np.eye(len(labels))[generator.integers(0, len(labels), rows)]
    chances = apply_temperature(logits, 1.0)
    truth = np.array([generator.choice(len(labels), p=row) for row in chances])
    return logits * temperature, truth


def make_report(
    predictor: str = "shipped",
    protocol: str = "grouped",
    labels: list[str] = LABELS,
    rows: int = 400,
    skill: float = 4.0,
    seed: int = 0,
    questions: list[str] | None = None,
    sources: list[str] | None = None,
    with_options: bool = False,
) -> dict[str, Any]:
    """A report as evaluation writes it, of a model that does not exist; its figures are those of its predictions."""
    logits, truth = make_predictions(labels, rows, skill, seed)
    before, after = apply_temperature(logits, 1.0), apply_temperature(logits, 1.6)
    predicted, confidence = after.argmax(axis=1), after.max(axis=1)
    correct = predicted == truth
    names = sources or ["ori_mmlu-<b>law</b>", "theoremQA", "stemez"]
    own = [names[(int(t) * 7 + i % 5) % len(names)] for i, t in enumerate(truth)]
    table = metrics.confusion(after, truth)
    curve = metrics.risk_coverage(after, truth)
    band = entropy_band(normalised_entropy(after))
    contains = np.array([truth[i] in labels_given for i, labels_given in enumerate(likely_labels(after))])
    edges = [0.0, *BANDS, 1.0]
    words = np.random.default_rng(seed).integers(5, 90, rows)
    slices = {"up to 15 words": words <= 15, "16 to 40 words": (words > 15) & (words <= 40), "more": words > 40}

    def share(chosen: Any) -> dict[str, Any]:
        return {"rows": int(chosen.sum()), "accuracy": asdict(significance.wilson_interval(int(correct[chosen].sum()), int(chosen.sum())))}  # fmt: skip  # noqa: E501

    def reliability(probabilities: FloatArray) -> dict[str, Any]:
        bins = [
            {"rows": each.rows, "confidence": each.confidence, "accuracy": each.accuracy.value}
            | {"low": each.accuracy.low, "high": each.accuracy.high}
            for each in metrics.reliability(probabilities, truth)
        ]
        values = {
            name: metrics.MEASURES[name](probabilities, truth) for name in ("ece", "classwise_ece", "nll", "brier")
        }
        return {**values, "reliability": bins}

    pairs = [
        {"label": labels[i], "predicted": labels[j], "rows": int(table[i, j]), "share": table[i, j] / table[i].sum()}
        for i in range(len(labels))
        for j in range(len(labels))
        if i != j and table[i, j]
    ]
    wrong = np.flatnonzero(~correct)
    worst = wrong[np.argsort(-confidence[wrong])][:20]
    thresholds = {}
    for target, threshold in find_thresholds(after, truth).items():
        sure = confidence >= threshold
        thresholds[target] = {"threshold": threshold, "coverage": float(sure.mean()), **share(sure)}
    return {
        "schema_version": 1,
        "predictor": predictor,
        "data": {"protocol": protocol, "split": "test", "rows": rows, "with_options": with_options}
        | {"manifest_sha256": hashlib.sha256(protocol.encode()).hexdigest()},
        "metrics": {name: asdict(found) for name, found in significance.measure(after, truth, resamples=40).items()},
        "per_class": {
            label: {"rows": int((truth == i).sum()), "precision": float(p), "recall": float(r), "f1": float(f)}
            for i, (label, (p, r, f)) in enumerate(zip(labels, metrics.precision_recall_f1(after, truth), strict=True))
        },
        "per_source": {name: share(np.array(own) == name) for name in sorted(set(own))},
        "slices": {"length": {name: share(chosen) for name, chosen in slices.items()}},
        "confusion": {"labels": labels, "counts": table.tolist()},
        "confused_pairs": sorted(pairs, key=lambda pair: -pair["rows"])[:20],
        "confident_errors": [
            {"row_id": str(i), "question": (questions or [QUESTION])[n % len(questions or [QUESTION])]}
            | {"label": labels[truth[i]], "predicted": labels[predicted[i]], "score": float(confidence[i])}
            | {"source": own[i]}
            for n, i in enumerate(worst)
        ],
        "calibration": {
            "temperature": 1.6,
            "perfect_ece_p95": metrics.perfect_ece(after, draws=50),
            "before": reliability(before),
            "after": reliability(after),
        },
        "risk_coverage": [asdict(metrics.accuracy_at(curve, n / 100)) for n in range(1, 101)],
        "thresholds": thresholds,
        "uncertainty": [
            {"low": edges[n], "high": edges[n + 1], "rows": int((band == n).sum())}
            | {"accuracy": float(correct[band == n].mean()) if (band == n).any() else None}
            | {"labels": n + 1, "contains_truth": contains[band == n].mean().item() if (band == n).any() else None}
            for n in range(5)
        ],
        "speed": {"seconds": 20.0, "questions_per_second": rows / 20},
        "versions": {"python": "3.12.1", "torch": "2.9.0"},
        "machine": {"system": "Linux", "processor": "x86_64", "cores": 8},
        "command": f"subjectwise evaluate {predictor} --data {protocol} --split test",
    }


def make_curve(predictor: str = "small", seed: int = 0, rows: tuple[int, ...] = (100, 1000)) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    points = []
    for count in rows:
        for number in (1, 2, 3):
            hits = int(generator.binomial(400, 0.9 - 3.5 / count**0.5))
            points.append({"rows": count, "seed": number, "accuracy": asdict(significance.wilson_interval(hits, 400))})
    data = {"protocol": "grouped", "split": "test", "rows": 400, "with_options": False, "manifest_sha256": "0" * 64}
    return {"schema_version": 1, "predictor": predictor, "data": data, "points": points, "command": "subjectwise x"}


def put(folder: Path, content: dict[str, Any], file: str = "report.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reports")
    put(place / "baselines/tfidf-grouped", make_report("baseline:tfidf-svm", skill=3.0, seed=1))
    put(place / "models/shipped-grouped", make_report())
    put(place / "models/shipped-options", make_report(with_options=True, seed=2))
    put(place / "models/shipped-source-held-out", make_report("other-name", "source-held-out", skill=2.5, seed=3))
    put(place / "models/curve", make_curve(), "learning_curve.json")
    put(place / ".unfinished", {}, "report.json")
    return place


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    written = write_page(folder, main="shipped-grouped")
    assert (written.page, written.reports) == (folder / "report.html", 4)
    return written.page.read_text(encoding="utf-8")


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


def spoken(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def test_the_page_holds_the_figures(folder: Path, page: str) -> None:
    text = Reader(page).text
    content = json.loads((folder / "models/shipped-grouped/report.json").read_text())
    for name in ("accuracy", "macro_f1", "ece"):
        for end in ("value", "low", "high"):
            found = content["metrics"][name][end]
            assert (f"{100 * found:.1f}" if name == "accuracy" else f"{found:.3f}") in text
    assert f"{content['calibration']['perfect_ece_p95']:.3f}" in text
    surest = content["risk_coverage"][74]
    assert surest["coverage"] >= 0.75 and spoken(surest["accuracy"]) in text
    other = json.loads((folder / "models/shipped-source-held-out/report.json").read_text())
    lost = 100 * (content["metrics"]["accuracy"]["value"] - other["metrics"]["accuracy"]["value"])
    assert lost > 0 and f"New sources cost {lost:.1f} points" in text
    assert f"{other['metrics']['nll']['value']:.3f}" in text and "baseline:tfidf-svm" in text
    pair = content["confused_pairs"][0]
    assert pair["label"] in text and spoken(pair["share"]) in text
    for found in content["thresholds"].values():
        assert f"{found['threshold']:.3f}" in text and spoken(found["coverage"]) in text
    for name, found in content["per_source"].items():
        assert name in text and spoken(found["accuracy"]["value"]) in text
    for name, found in content["slices"]["length"].items():
        assert name in text and spoken(found["accuracy"]["value"]) in text
    for band in content["uncertainty"]:
        assert not band["rows"] or spoken(band["contains_truth"]) in text
    assert text.count("alert(1)") == len(content["confident_errors"]) > 5
    assert content["command"] in text and content["data"]["manifest_sha256"] in text and "torch 2.9.0" in text
    assert "subjectwise x" in text and "The mean over seeds" in text
    assert "US$ and $" in text, "a label is not taken for a formula"


def test_figures_show_what_was_counted(folder: Path, page: str) -> None:
    content = json.loads((folder / "models/shipped-grouped/report.json").read_text())
    plot = re.search(r'<svg class="plot"[^>]*aria-label="Confusion matrix.*?</svg>', page, re.DOTALL)
    assert plot is not None
    counts = [int(cell) for cell in re.findall(r">(\d+)</text>", plot.group())]
    assert counts == [cell for row in content["confusion"]["counts"] for cell in row if cell]
    names = re.findall(r'<svg class="plot" role="img" aria-label="([^"]+)"', page)
    assert [name.split(":")[0].split(",")[0] for name in names] == [
        "Accuracy on sources it trained on",
        "Confusion matrix",
        "Reliability diagram before calibration",
        "Reliability diagram after calibration",
        "Risk-coverage curve",
        "F1",
        "Learning curve",
    ]


def test_the_page_needs_nothing_else(page: str) -> None:
    found = Reader(page)
    assert not {"script", "link", "img", "iframe", "object", "image", "foreignobject"} & set(found.tags)
    assert "http:" not in page and "https:" not in page and "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", page))
    ids = [value for _, key, value in found.attributes if key == "id"]
    assert len(ids) == len(set(ids)), "every figure has ids of its own"
    for _, key, value in found.attributes:
        assert key not in ("style", "src") and not key.startswith("on")
        assert key != "href" or value[1:] in ids
        assert key != "aria-labelledby" or value in ids
    assert all(name in ids for name in re.findall(r"url\(#(.*?)\)", page))
    css = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert css is not None
    assert f"'sha256-{base64.b64encode(hashlib.sha256(css.group(1).encode()).digest()).decode()}'" in page


def test_light_and_dark(page: str) -> None:
    assert "prefers-color-scheme: dark" in page and 'name="color-scheme" content="light dark"' in page
    light, dark = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    variables = set(re.findall(r"(--\w+):", light))
    assert variables == set(re.findall(r"(--\w+):", dark))
    body = page.split("<body>")[1]
    assert set(re.findall(r"var\((--\w+)\)", body)) <= variables
    assert not re.search(r"#[0-9a-f]{6}\b", re.sub(r'"#[^"]*"', "", body)), "no colour of its own"
    for scheme in (light, dark):
        color = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        for name in ("ink", "soft", "first", "second"):
            for ground in ("paper", "raised"):
                assert contrast(color[name], color[ground]) >= 4.5
        from subjectwise.evaluation.report.plots import STRONGEST_SHADE

        for name in ("first", "second"):
            assert contrast(color["ink"], blend(color[name], color["paper"], STRONGEST_SHADE)) >= 4.5


def channels(color: str) -> FloatArray:
    return np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255


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


def test_text_of_others_is_escaped(page: str) -> None:
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert "<b>law" not in page and "&lt;b&gt;law" in page


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
    assert "Mine & yours" in text and spoken(content["metrics"]["accuracy"]["value"]) in text
    for heading in ("What is taken for what", "Where it is weak", "All reports", "New sources", "Doubt", "Macro-F1"):
        assert heading not in text


def test_empty_sections_and_odd_figures(tmp_path: Path) -> None:
    content = make_report(rows=60)
    content["calibration"]["before"] = content["calibration"]["temperature"] = None
    content["thresholds"]["0.99"] = {"threshold": 0.999, "coverage": 0.0, "rows": 0, "accuracy": None}
    content["data"]["prior_correction"] = "batch"
    content["per_source"]["none"] = {"rows": 0, "accuracy": {"value": float("nan"), "low": 0.0, "high": 1.0}}
    content["confident_errors"][0]["question"] = "half a letter \ud800, \u202eturned\x0b and " + "long " * 200
    content["confident_errors"][0]["source"] = None
    text = Reader(write_page(put(tmp_path, content)).page.read_text(encoding="utf-8")).text
    assert "nan" not in text.split() and "No temperature was fitted" in text
    assert "half a letter" in text and "long long…" in text


def test_which_report_is_the_main_one(tmp_path: Path) -> None:
    grouped, held_out = make_report(rows=40), make_report(rows=40, protocol="source-held-out")
    put(tmp_path / "a", make_report(rows=40, with_options=True))
    assert open_reports(tmp_path).main.name == "a"
    put(tmp_path / "deep/er/c", grouped)
    put(tmp_path / "deep/er/too/deep", grouped)
    found = open_reports(tmp_path)
    assert (found.main.name, [other.name for other in found.others]) == ("deep/er/c", ["a"])
    assert open_reports(tmp_path, "a").main.name == "a"
    assert found.held_out is None
    put(tmp_path / "z", held_out)
    found = open_reports(tmp_path)
    assert found.held_out is not None and found.held_out.name == "z"
    assert open_reports(tmp_path, "a").held_out is None, "with options is compared with options only"
    alone = open_reports(put(tmp_path / "alone", grouped))
    assert (alone.main.name, alone.others) == ("alone", [])


def test_models_trained_for_each_protocol_are_paired_by_folder(tmp_path: Path) -> None:
    for name in ("small", "tfidf"):
        put(tmp_path / f"{name}-grouped", make_report(f"models/{name}", rows=40))
    put(tmp_path / "tfidf-sources", make_report("models/y", "source-held-out", rows=40))
    assert open_reports(tmp_path, "small-grouped").held_out is None
    put(tmp_path / "small-sources", make_report("models/x", "source-held-out", rows=40))
    found = open_reports(tmp_path, "small-grouped").held_out
    assert found is not None and found.predictor == "models/x"


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    def refused(part: str, main: str = "") -> None:
        with pytest.raises(DataError, match=re.escape(part)) as caught:
            write_page(tmp_path / "in", main=main)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "in/report.html").exists()

    refused("is not a folder")
    (tmp_path / "in").mkdir()
    refused("holds no report.json; write one with")
    path = put(tmp_path / "in", make_report(rows=40)) / "report.json"
    refused("has no report named 'other'; --main takes one of in.", main="other")
    good = path.read_text()
    path.write_text(good[:-40])
    refused("report.json cannot be read as JSON")
    for change, part in (
        ({"schema_version": 2}, "has the schema version 2, and this subjectwise reads 1"),
        ({"schema_version": None}, "has the schema version None"),
        ({"metrics": {}}, "is damaged: metrics.accuracy is missing"),
        ({"data": {"protocol": "grouped", "split": "test", "rows": True}}, "data.rows is not a whole number"),
        ({"uncertainty": [{"low": "0"}]}, "uncertainty[0].low is not a number"),
        ({"per_class": {"law": {"rows": 1, "precision": 1, "recall": 1}}}, "per_class.law.f1 is missing"),
        ({"risk_coverage": {}}, "risk_coverage is not a list"),
        ({"confusion": {"labels": ["a"], "counts": [[1, 2]]}}, "a row and a column for each label"),
    ):
        path.write_text(json.dumps(json.loads(good) | change))
        refused(part)
    path.write_text(good)
    put(tmp_path / "in/curve", make_curve() | {"points": None}, "learning_curve.json")
    refused("learning_curve.json is damaged: points is not a list")


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    for module in ("page", "sections", "plots", "svg"):
        monkeypatch.delitem(sys.modules, f"subjectwise.evaluation.report.{module}")
        monkeypatch.delattr(f"subjectwise.evaluation.report.{module}")
    with pytest.raises(SubjectwiseError, match=f"needs {library}, which is missing; install .* `report` extra"):
        importlib.import_module("subjectwise.evaluation.report.page")


def test_the_command(folder: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command)
    run = CliRunner().invoke
    found = run(app, [str(folder), "--output", str(tmp_path / "new/page.html"), "--title", "A title", "--json"])
    assert json.loads(found.stdout) == {"page": str(tmp_path / "new/page.html"), "reports": 4}
    assert "<title>A title</title>" in (tmp_path / "new/page.html").read_text(encoding="utf-8")
    assert run(app, [str(folder), "-o", str(tmp_path / "b.html")]).stdout == f"{tmp_path / 'b.html'}\n"
