from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from helpers.tiny_models import make_rows
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.errors import DataError
from subjectwise.evaluation.evaluate import Rows, evaluate, file_rows, split_rows, write_evaluation
from subjectwise.predictors import draw_shots, load_predictor
from subjectwise.text.typing_noise import perturb_questions
from subjectwise.types import FloatArray, Question

LABELS = ["biology", "computer science", "law", "physics"]


class Oracle:
    """Right on every question but those that begin with "Which"."""

    classes_ = LABELS

    def predict_proba(self, questions: Sequence[Question | str]) -> FloatArray:
        truth = {row["question"]: LABELS.index(row["category"]) for row in make_rows()}
        rows = np.full((len(questions), 4), 0.1)
        for i, question in enumerate(questions):
            assert isinstance(question, Question)
            right = truth[question.text]
            rows[i, (right + 1) % 4 if question.text.startswith("Which") else right] = 0.7
        return rows


def test_the_report_says_what_happened(split_folder: Path, tmp_path: Path) -> None:
    data = open_split(split_folder)
    evaluation = evaluate(Oracle(), split_rows(data), name="oracle", command="subjectwise evaluate oracle")
    write_evaluation(tmp_path / "out", evaluation)
    report = json.loads((tmp_path / "out/report.json").read_text())
    rows = [json.loads(line) for line in (tmp_path / "out/predictions.jsonl").read_text().splitlines()]
    truth, predicted = [row["label"] for row in rows], [row["predicted"] for row in rows]
    assert set(report) == {
        "schema_version", "predictor", "model_sha256", "data", "metrics", "per_class", "per_source", "slices",
        "confusion", "confused_pairs", "confident_errors", "calibration", "risk_coverage", "thresholds", "uncertainty",
        "speed", "versions", "machine", "command",
    }  # fmt: skip
    assert set(rows[0]) == {"row_id", "label", "predicted", "score", "scores", "label_mass"}
    assert [row["row_id"] for row in rows] == data.manifest["splits"]["test"]["row_ids"]
    assert report["data"]["rows"] == len(rows) and report["data"]["manifest_sha256"] == data.manifest_sha256
    assert report["metrics"]["accuracy"]["value"] == pytest.approx(accuracy_score(truth, predicted))
    assert 0 < report["metrics"]["accuracy"]["value"] < 1
    assert report["metrics"]["macro_f1"]["value"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert sum(row["rows"] for row in report["per_class"].values()) == len(rows)
    assert sum(row["rows"] for row in report["per_source"].values()) == len(rows)
    assert np.sum(report["confusion"]["counts"]) == len(rows)


def test_options_are_hidden_unless_asked_for(split_folder: Path, tiny_model: Path) -> None:
    data = open_split(split_folder)
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    counted: list[int] = []
    without = evaluate(classifier, split_rows(data), on_progress=counted.append)
    assert sum(counted) == without.report["data"]["rows"]
    shown = evaluate(classifier, split_rows(data), with_options=True)
    assert without.report["data"]["with_options"] is False and shown.report["data"]["with_options"] is True
    assert without.report["metrics"]["nll"] != shown.report["metrics"]["nll"]
    assert evaluate(classifier, split_rows(data), limit=5, allow_missing=True).report["data"]["rows"] == 5


def test_unknown_labels_in_the_data(split_folder: Path) -> None:
    class Narrow(Oracle):
        classes_ = ["biology", "law"]

    with pytest.raises(DataError, match="label 'computer science', which narrow does not know"):
        evaluate(Narrow(), split_rows(open_split(split_folder)), name="narrow")


def test_predictors_by_name(tiny_model: Path, tiny_base: Path, split_folder: Path) -> None:
    labels = open_split(split_folder).labels
    options: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
    assert list(load_predictor(str(tiny_model), labels, **options).classes_) == LABELS
    assert list(load_predictor(f"zero-shot:{tiny_base}", labels, **options).classes_) == LABELS


def test_predictors_that_learn_from_the_split(tiny_base: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    shots = draw_shots(data)
    assert sorted(shot.label for shot in shots) == LABELS and shots == draw_shots(data)
    assert {shot.row_id for shot in shots} <= set(data.manifest["splits"]["train"]["row_ids"])
    options: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
    few = load_predictor(f"few-shot:{tiny_base}", data.labels, data=data, **options)
    prefix = few._scorer.prompt.prefix
    assert all(f"Q: {shot.question.text}\nA: {shot.label}" in prefix for shot in shots)
    with pytest.raises(DataError, match="learns from training rows"):
        load_predictor(f"few-shot:{tiny_base}", data.labels)


def test_a_report_can_be_trusted(split_folder: Path) -> None:
    data = open_split(split_folder)
    report = evaluate(Oracle(), split_rows(data), name="oracle").report
    wrong = [row for row in split_rows(data).examples if row.question.text.startswith("Which")]
    errors = report["confident_errors"]
    assert {row["row_id"] for row in errors} == {row.row_id for row in wrong} and len(errors) < 20
    assert sum(pair["rows"] for pair in report["confused_pairs"]) == len(wrong)
    assert sum(row["rows"] for row in report["slices"]["length"].values()) == report["data"]["rows"]
    assert sum(row["rows"] for row in report["uncertainty"]) == report["data"]["rows"]
    assert report["calibration"]["before"] is None and report["calibration"]["after"]["ece"] > 0
    assert all(point["coverage"] >= share / 100 for share, point in enumerate(report["risk_coverage"], 1))
    assert report["risk_coverage"][-1]["accuracy"] == report["metrics"]["accuracy"]["value"]


def test_thresholds_and_temperature_are_the_models_own(split_folder: Path, tiny_model: Path) -> None:
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    validation = evaluate(classifier, split_rows(open_split(split_folder), "validation")).report
    assert set(validation["thresholds"]) == set(classifier.thresholds)
    for target, row in validation["thresholds"].items():
        assert row["accuracy"]["value"] >= float(target), "on the rows that it was found on"
    honest = validation["calibration"]
    assert honest["temperature"] == classifier.temperature != 1
    assert honest["after"]["nll"] <= honest["before"]["nll"]
    assert honest["after"]["nll"] == pytest.approx(validation["metrics"]["nll"]["value"])


def test_a_file_of_ones_own(tiny_model: Path, rows_file: Path) -> None:
    rows = file_rows(str(rows_file))
    assert (rows.protocol, rows.split, len(rows.examples)) == ("file", rows_file.name, len(make_rows()))
    assert len(rows.manifest_sha256) == 64
    few = Rows(rows.examples[:3], "file", "x", "y")
    with pytest.raises(DataError, match="none with the label 'computer science'"):
        evaluate(Oracle(), few)
    assert evaluate(Oracle(), few, allow_missing=True).report["data"]["rows"] == 3


def test_noise_is_measured_on_the_same_rows(split_folder: Path) -> None:
    data = open_split(split_folder)
    predictor = load_predictor("baseline:tfidf-svm", None, data=data)
    rows = split_rows(data)
    report = evaluate(predictor, rows, perturb=["typos", "case"], perturb_seed=1).report
    assert [row["level"] for row in report["robustness"]["typos"]] == ["0.02", "0.05", "0.1"]
    noisy = perturb_questions([Question(row.question.text) for row in rows.examples], "typos", "0.1", seed=1)
    before = predictor.predict_proba([Question(row.question.text) for row in rows.examples]).argmax(axis=1)
    after = predictor.predict_proba(noisy).argmax(axis=1)
    truth = [list(predictor.classes_).index(row.label) for row in rows.examples]
    row = report["robustness"]["typos"][2]
    assert row["labels_kept"]["value"] == pytest.approx(np.mean(after == before))
    assert row["accuracy"]["value"] == pytest.approx(np.mean(after == truth))
    assert row["change"]["value"] == pytest.approx(np.mean(after == truth) - np.mean(before == truth))
    assert row["change"]["low"] <= row["change"]["value"] <= row["change"]["high"]
    assert (
        evaluate(predictor, rows, perturb=["typos", "case"], perturb_seed=1).report["robustness"]
        == report["robustness"]
    )
    assert "robustness" not in evaluate(predictor, rows).report
    with pytest.raises(DataError, match="no kind of noise"):
        evaluate(predictor, rows, perturb=["static"])
