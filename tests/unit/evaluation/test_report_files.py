"""The files of an evaluation: read as they were written, by this version and by 0.1.0; damage is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.fake_classifiers import FakeClassifier, one_hot_like
from subjectwise.errors import DataError
from subjectwise.evaluation.evaluate import Evaluation, Rows, evaluate
from subjectwise.evaluation.report_files import (
    iterate_predictions,
    read_learning_curve,
    read_report,
    write_evaluation,
    write_learning_curve,
)
from subjectwise.records import Example, Question

OLD = Path(__file__).parents[2] / "data" / "evaluation-0.1.0"
LABELS = ["a", "b", "c"]


def measured(perturb: list[str] | None = None) -> Evaluation:
    examples = [Example(str(n), Question(f"question {n}?"), LABELS[n % 3], f"source-{n % 2}") for n in range(60)]

    def probabilities(questions: list[Question]) -> Any:
        numbers = [int(question.text.split()[-1].rstrip("?")) for question in questions]
        return one_hot_like([(number + (number % 7 == 0)) % 3 for number in numbers], 3)

    classifier = FakeClassifier(LABELS, probabilities, temperature=1.5, thresholds={"0.95": 0.7})
    rows = Rows(examples, "grouped", "test", "abc")
    return evaluate(classifier, rows, name="fake", command="subjectwise evaluate fake", perturb=perturb or [])


@pytest.mark.parametrize("perturb", [[], ["no-punctuation"]])
def test_what_is_written_is_read(tmp_path: Path, perturb: list[str]) -> None:
    evaluation = measured(perturb)
    write_evaluation(tmp_path / "out", evaluation.report, evaluation.predictions)
    assert read_report(tmp_path / "out/report.json") == evaluation.report
    assert list(iterate_predictions(tmp_path / "out/predictions.jsonl")) == evaluation.predictions
    content = json.loads((tmp_path / "out/report.json").read_text())
    assert ("robustness" in content) == bool(perturb)


@pytest.mark.parametrize("name", ["adapter", "baseline"])
def test_reports_of_0_1_0_are_read(name: str, tmp_path: Path) -> None:
    content = json.loads((OLD / name / "report.json").read_text())
    report = read_report(OLD / name / "report.json")
    assert report.predictor == content["predictor"] and report.model_sha256 == (content["model_sha256"] or "")
    written = json.loads(json.dumps(report.to_dict()))
    for metrics in (content["metrics"]["ece"], content["metrics"]["classwise_ece"]):
        del metrics["low"], metrics["high"]
    content["model_sha256"] = content["model_sha256"] or ""
    assert written == content, "nothing but the interval of the calibration error is lost"
    rows = list(iterate_predictions(OLD / name / "predictions.jsonl"))
    lines = [json.loads(line) for line in (OLD / name / "predictions.jsonl").read_text().splitlines()]
    assert len(rows) == report.data.rows
    assert [(row.row_id, row.label, row.predicted, row.scores, row.label_mass) for row in rows] == [
        (line["row_id"], line["label"], line["predicted"], line["scores"], line["label_mass"]) for line in lines
    ]


def test_learning_curves_of_0_1_0_are_read(tmp_path: Path) -> None:
    path = OLD / "curve/learning_curve.json"
    curve = read_learning_curve(path)
    assert [(point.rows, point.seed) for point in curve.points] == [(20, 1), (20, 2), (40, 1), (40, 2)]
    write_learning_curve(tmp_path / "curve.json", curve)
    content = json.loads((tmp_path / "curve.json").read_text())
    del content["data"]["prior_correction"]
    assert content == json.loads(path.read_text())


def test_sections_that_are_missing_are_empty(tmp_path: Path) -> None:
    content = json.loads((OLD / "adapter/report.json").read_text())
    few = {key: content[key] for key in ("schema_version", "predictor", "data")}
    few["metrics"] = {"accuracy": content["metrics"]["accuracy"]}
    (tmp_path / "report.json").write_text(json.dumps({**few, "of a later version": 1}))
    report = read_report(tmp_path / "report.json")
    assert report.metrics.ece is None and report.confusion is None and report.per_source == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(schema_version=2), "has schema version 2; this version reads 1"),
        (lambda content: content.pop("schema_version"), "has schema version None"),
        (lambda content: content["metrics"]["accuracy"].pop("low"), "is damaged: metrics.accuracy.low is missing"),
        (lambda content: content.update(metrics={}), "is damaged: metrics.accuracy is missing"),
        (lambda content: content["data"].update(rows=True), "is damaged: data.rows is not a whole number"),
        (lambda content: content["per_class"]["law"].pop("f1"), "is damaged: per_class.law.f1 is missing"),
        (lambda content: content.update(risk_coverage={}), "is damaged: risk_coverage is not a list"),
        (lambda content: content["uncertainty"][0].update(low="0"), r"uncertainty\[0\].low is not a number"),
        (lambda content: content["confusion"]["labels"].pop(), "confusion is not a row and a column per label"),
    ],
)
def test_damage_is_named(change: Callable[[Any], object], message: str, tmp_path: Path) -> None:
    content = json.loads((OLD / "adapter/report.json").read_text())
    change(content)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"{path} .*{message}.*Measure again"):
        read_report(path)


def test_damaged_predictions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    shutil.copy(OLD / "adapter/predictions.jsonl", path)
    lines = path.read_text().splitlines()
    for broken, message in (
        ({"scores": {"law": 1.0}}, "in row 20 row_id is missing"),
        ({"row_id": "x"}, "in row 20 scores is missing"),
        ({"row_id": 7, "scores": {"law": "high"}}, "in row 20 scores.law is not a number"),
    ):
        path.write_text("\n".join([*lines, json.dumps(broken)]) + "\n")
        with pytest.raises(DataError, match=f"{path} is damaged: {message}. Write it again"):
            list(iterate_predictions(path))
    path.write_text(json.dumps({"row_id": 7, "scores": {"law": 1.0}}) + "\n")
    assert [row.row_id for row in iterate_predictions(path)] == ["7"]
    with pytest.raises(DataError, match="Unknown file"):
        list(iterate_predictions(tmp_path / "none.jsonl"))
