"""Reports are ranked; reports that differ in rows or labels are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.fake_classifiers import FakeClassifier, one_hot_like
from subjectwise.cli.app import build_app
from subjectwise.errors import DataError
from subjectwise.evaluation.comparison import compare, read_measured
from subjectwise.evaluation.comparison_table import as_markdown, comparison_table
from subjectwise.evaluation.evaluate import Rows, evaluate
from subjectwise.evaluation.report_files import write_evaluation
from subjectwise.records import Example, Question
from subjectwise.types import FloatArray

LABELS = ["a", "b", "c"]


def noisy(share: float, labels: list[str] = LABELS) -> FakeClassifier:
    """Right on the share `share` of rows."""

    def probabilities(questions: list[Question]) -> FloatArray:
        wrong = np.random.default_rng(0).random(len(questions)) >= share
        return one_hot_like((np.arange(len(questions)) + wrong) % 3, 3)

    return FakeClassifier(labels, probabilities)


def write(folder: Path, share: float, split: str = "test", rows: int = 120, labels: list[str] = LABELS) -> Path:
    examples = [Example(str(n), Question(f"question {n}"), labels[n % 3]) for n in range(rows)]
    evaluation = evaluate(noisy(share, labels), Rows(examples, "grouped", split, "abc"), name=f"noisy-{share}")
    write_evaluation(folder, evaluation.report, evaluation.predictions)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    parent = tmp_path_factory.mktemp("reports")
    return [write(parent / "weak", 0.5), write(parent / "strong", 0.95), write(parent / "middle", 0.9)]


def test_the_best_comes_first_and_chance_is_measured(folders: list[Path]) -> None:
    comparison = compare([read_measured(folder) for folder in folders])
    assert [item.name for item in comparison.reports] == ["strong", "middle", "weak"]
    near, far = comparison.pairs
    assert (near.better, near.other) == ("strong", "middle")
    strong, middle, weak = (item.correct.mean() for item in comparison.reports)
    assert near.accuracy.value == pytest.approx(strong - middle) and far.accuracy.value == pytest.approx(middle - weak)
    assert far.mcnemar < 1e-6 < near.mcnemar and far.accuracy.low > 0.2


def test_the_table(folders: list[Path]) -> None:
    comparison = compare([read_measured(folder) for folder in folders])
    table = comparison_table(comparison)
    assert table.header[1:6] == ["accuracy", "macro-F1", "NLL", "Brier score", "ECE"]
    strong = comparison.reports[0]
    accuracy, ece = strong.report.metrics.accuracy, strong.report.metrics.ece
    assert ece is not None
    assert table.rows[0][1] == f"{100 * accuracy.value:.1f} [{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]"
    assert table.rows[0][5] == f"{ece.value:.3f}", "a calibration error has no interval"
    assert table.rows[2][-2:] == ["", ""]
    text = as_markdown(comparison)
    assert "120 rows" in text and text.count("\n|") == 5


def test_the_json(folders: list[Path]) -> None:
    content = compare([read_measured(folder) for folder in folders]).to_dict()
    assert set(content) == {"schema_version", "data", "reports", "neighbours"}
    assert set(content["data"]) == {"protocol", "split", "rows", "manifest_sha256"}
    assert [item["name"] for item in content["reports"]] == ["strong", "middle", "weak"]
    assert set(content["reports"][0]) == {"name", "predictor", "metrics", "speed", "command", "with_options"}
    assert set(content["neighbours"][0]) == {"better", "other", "accuracy", "macro_f1", "mcnemar"}
    assert json.loads(json.dumps(content)) == content


def test_the_command(folders: list[Path], tmp_path: Path) -> None:
    names = [str(folder) for folder in folders]
    printed = CliRunner().invoke(build_app(), ["compare", *names]).stdout
    assert printed.index("| strong |") < printed.index("| weak |")
    shown = json.loads(CliRunner().invoke(build_app(), ["compare", *names, "--json"]).stdout)
    assert len(shown["neighbours"]) == 2
    for name in ("out.md", "out.html", "out.json"):
        assert CliRunner().invoke(build_app(), ["compare", *names, "--output", str(tmp_path / name)]).exit_code == 0
    assert (tmp_path / "out.md").read_text() == printed
    assert json.loads((tmp_path / "out.json").read_text()) == shown
    page = (tmp_path / "out.html").read_text()
    assert "120 rows" in page and page.index("strong") < page.index("weak")
    refused = CliRunner().invoke(build_app(), ["compare", *names, "--output", str(tmp_path / "out.txt")])
    assert refused.exit_code == 1 and ".md, .html, .json" in str(refused.exception)


def test_reports_that_differ_are_refused(folders: list[Path], tmp_path: Path) -> None:
    def refuse(message: str, *others: Path) -> None:
        with pytest.raises(DataError, match=message):
            compare([read_measured(folder) for folder in (folders[0], *others)])

    refuse("at least two reports")
    refuse("different splits", write(tmp_path / "other", 0.9, split="validation"))
    refuse("different rows", write(tmp_path / "fewer", 0.9, rows=90))
    refuse("different labels", write(tmp_path / "labels", 0.9, labels=["a", "b", "d"]))
    refuse("Two reports are called 'weak'", write(tmp_path / "weak", 0.9))
    with pytest.raises(DataError, match=r"Cannot read .*report\.json"):
        read_measured(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "119 predictions for the 120 rows"),
        (lambda rows: [{**rows[0], "scores": {"a": 0.9, "b": 0.9, "c": 0.9}}, *rows[1:]], "do not sum to 1"),
        (lambda rows: [{**rows[0], "scores": {"a": 1.0}}, *rows[1:]], "other labels than its report in row '0'"),
        (lambda rows: [{**rows[0], "label": "z"}, *rows[1:]], "other labels than its report in row '0'"),
    ],
)
def test_damaged_predictions(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    folder = write(tmp_path / "one", 0.9)
    file = folder / "predictions.jsonl"
    rows = change([json.loads(line) for line in file.read_text().splitlines()])
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=message):
        read_measured(folder)


def test_a_report_without_confusion_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", 0.9)
    content = json.loads((folder / "report.json").read_text())
    del content["confusion"]
    (folder / "report.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="confusion is missing"):
        read_measured(folder)
