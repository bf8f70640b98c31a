from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from helpers.tiny_models import TINY_SETTINGS
from subjectwise.data.split import open_split
from subjectwise.errors import DataError, OutputError, SubjectwiseError
from subjectwise.evaluation import learning_curve as module
from subjectwise.evaluation.evaluate import split_rows
from subjectwise.evaluation.learning_curve import draw_rows, learning_curve
from subjectwise.evaluation.learning_curve_schema import LearningCurvePoint
from subjectwise.evaluation.report_files import read_learning_curve
from subjectwise.records import Example, Question


def rows(**counts: int) -> list[Example]:
    return [
        Example(f"{label}-{n}", Question(f"{label} {n}"), label)
        for label, count in counts.items()
        for n in range(count)
    ]


def test_every_label_is_drawn_by_its_share() -> None:
    train = rows(a=60, b=30, c=10)
    drawn = draw_rows(train, 20, seed=1)
    assert Counter(row.label for row in drawn) == {"a": 12, "b": 6, "c": 2}
    assert drawn == draw_rows(train, 20, seed=1) != draw_rows(train, 20, seed=2)
    assert len(set(drawn)) == 20
    assert draw_rows(train, 100, seed=3) == train


def test_a_rare_label_is_never_left_out() -> None:
    drawn = draw_rows(rows(a=200, b=200, c=3), 10, seed=0)
    assert len(drawn) == len(set(drawn)) == 10 and {row.label for row in drawn} == {"a", "b", "c"}


def test_a_recipe_learns(tiny_base: Path, split_folder: Path, tmp_path: Path) -> None:
    points: list[LearningCurvePoint] = []
    curve = learning_curve(
        "small", open_split(split_folder), [12], [1], tmp_path, settings=TINY_SETTINGS, base=str(tiny_base),
        device="cpu", on_point=points.append,
    )  # fmt: skip
    assert curve.points == points and points[0].rows == 12 and 0 < points[0].accuracy.value <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["learning_curve.json"]
    assert read_learning_curve(tmp_path / "learning_curve.json") == curve
    with pytest.raises(DataError, match="from 4 to the"):
        learning_curve("small", open_split(split_folder), [10_000], [1], tmp_path / "x")


def test_an_interrupted_curve_is_continued(split_folder: Path, tmp_path: Path) -> None:
    data = open_split(split_folder)

    def stop(point: LearningCurvePoint) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learning_curve("baseline:tfidf-svm", data, [12, 20], [1], tmp_path, on_point=stop)
    points: list[LearningCurvePoint] = []
    curve = learning_curve("baseline:tfidf-svm", data, [12, 20], [1], tmp_path, on_point=points.append)
    assert [point.rows for point in points] == [20] and [point.rows for point in curve.points] == [12, 20]
    assert read_learning_curve(tmp_path / "learning_curve.json").points == curve.points
    with pytest.raises(OutputError, match="curve of another learner or of other data"):
        learning_curve("baseline:majority", data, [12], [1], tmp_path)
    with pytest.raises(OutputError, match="curve of another learner or of other data"):
        learning_curve("baseline:tfidf-svm", data, [12], [1], tmp_path, split="validation")


def test_a_curve_without_points_is_no_other_curve(
    split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_split(split_folder)

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            learning_curve("baseline:tfidf-svm", data, [12], [1], tmp_path)
    with pytest.raises(OutputError, match="curve of another learner or of other data"):
        learning_curve("baseline:majority", data, [12], [1], tmp_path)
    everything = len(data.examples("train"))
    curve = learning_curve("baseline:tfidf-svm", data, [0, everything], [1], tmp_path)
    assert [point.rows for point in curve.points] == [everything]


def test_a_curve_of_0_1_0_is_continued(split_folder: Path, tmp_path: Path) -> None:
    data = open_split(split_folder)
    rows = split_rows(data)
    learning_curve("baseline:tfidf-svm", data, [12], [1], tmp_path)
    path = tmp_path / "learning_curve.json"
    content = json.loads(path.read_text())
    # 0.1.0 did not write how the prior was corrected.
    del content["data"]["prior_correction"]
    path.write_text(json.dumps(content))
    curve = learning_curve("baseline:tfidf-svm", data, [12, 20], [1], tmp_path)
    assert [point.rows for point in curve.points] == [12, 20]
    assert curve.data is not None and curve.data.rows == len(rows.examples)


def test_a_missing_extra_is_named_before_any_work(
    split_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(SubjectwiseError, match=r"needs accelerate, .*subjectwise\[train\]"):
        learning_curve("small", open_split(split_folder), [12], [1], tmp_path / "x")
    assert not (tmp_path / "x").exists()
