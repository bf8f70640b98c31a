"""Reports into a table; unlike reports are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from subjectwise.cli.app import app
from subjectwise.errors import DataError
from subjectwise.evaluation.comparison import as_html, as_json, as_markdown, compare, read_measured
from subjectwise.evaluation.evaluate import Rows, evaluate, write_evaluation
from subjectwise.records import Example, FloatArray, Question

LABELS = ["a", "b", "c"]


class Noisy:
    """Right as often as it was told."""

    classes_ = LABELS

    def __init__(self, share: float) -> None:
        self.share = share

    def predict_proba(self, questions: Sequence[Question | str]) -> FloatArray:
        generator = np.random.default_rng(0)
        truth = np.arange(len(questions)) % 3
        wrong = generator.random(len(questions)) >= self.share
        return np.where(np.eye(3)[(truth + wrong) % 3] == 1, 0.8, 0.1)


def write(folder: Path, share: float, split: str = "test", rows: int = 120) -> Path:
    examples = [Example(str(n), Question(f"question {n}"), LABELS[n % 3]) for n in range(rows)]
    write_evaluation(folder, evaluate(Noisy(share), Rows(examples, "grouped", split, "abc"), name=f"noisy-{share}"))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("reports")
    return [write(place / "weak", 0.5), write(place / "strong", 0.95), write(place / "middle", 0.9)]


def test_the_best_comes_first_and_chance_is_told(folders: list[Path]) -> None:
    found = compare([read_measured(folder) for folder in folders])
    assert [item.name for item in found.reports] == ["strong", "middle", "weak"]
    near, far = found.neighbours
    strong, middle, weak = (item.right.mean() for item in found.reports)
    assert near.accuracy.value == pytest.approx(strong - middle) and far.accuracy.value == pytest.approx(middle - weak)
    assert far.mcnemar < 1e-6 < near.mcnemar and far.accuracy.low > 0.2
    content = as_json(found)
    assert [item["name"] for item in content["reports"]] == ["strong", "middle", "weak"]
    for text in (as_markdown(found), as_html(found)):
        assert f"{100 * strong:.1f} [" in text and "120 rows" in text
    assert "<script" not in as_html(found) and "http" not in as_html(found)


def test_the_command(folders: list[Path], tmp_path: Path) -> None:
    names = [str(folder) for folder in folders]
    printed = CliRunner().invoke(app, ["compare", *names]).stdout
    assert printed.index("| strong |") < printed.index("| weak |")
    shown = json.loads(CliRunner().invoke(app, ["compare", *names, "--json"]).stdout)
    assert len(shown["neighbours"]) == 2
    for name in ("out.md", "out.html", "out.json"):
        assert CliRunner().invoke(app, ["compare", *names, "--output", str(tmp_path / name)]).exit_code == 0
        assert (tmp_path / name).stat().st_size > 200
    refused = CliRunner().invoke(app, ["compare", *names, "--output", str(tmp_path / "out.txt")])
    assert refused.exit_code == 1 and ".md, .html, .json" in str(refused.exception)


def test_unlike_reports_are_refused(folders: list[Path], tmp_path: Path) -> None:
    def refuse(message: str, *others: Path) -> None:
        with pytest.raises(DataError, match=message):
            compare([read_measured(folder) for folder in (folders[0], *others)])

    refuse("two reports at least")
    refuse("different splits", write(tmp_path / "other", 0.9, split="validation"))
    refuse("different rows", write(tmp_path / "fewer", 0.9, rows=90))
    refuse("Two reports are called 'weak'", write(tmp_path / "weak", 0.9))
    with pytest.raises(DataError, match=r"report\.json cannot be read"):
        read_measured(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "119 predictions for the 120 rows"),
        (lambda rows: [{**rows[0], "scores": {"a": 0.9, "b": 0.9, "c": 0.9}}, *rows[1:]], "do not sum to 1"),
        (lambda rows: [{**rows[0], "scores": {"a": 1.0}}, *rows[1:]], "missing or damaged"),
    ],
)
def test_damaged_predictions(tmp_path: Path, change: Any, message: str) -> None:
    folder = write(tmp_path / "one", 0.9)
    file = folder / "predictions.jsonl"
    rows = change([json.loads(line) for line in file.read_text().splitlines()])
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=message):
        read_measured(folder)
