from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from helpers.fake_classifiers import FakeClassifier, one_hot_like
from helpers.tiny_models import make_rows
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.errors import DataError
from subjectwise.evaluation.evaluate import Rows, evaluate, file_rows, split_rows
from subjectwise.models.devices import Compute
from subjectwise.predictors import draw_shots, load_predictor
from subjectwise.records import Example, Question
from subjectwise.statistics.calibration import correct_prior
from subjectwise.text.typing_noise import perturb_questions
from subjectwise.types import FloatArray

LABELS = ["biology", "computer science", "law", "physics"]
FLOAT32 = Compute("cpu", "float32")


def oracle(labels: list[str] = LABELS) -> FakeClassifier:
    """Right on every question but those that begin with "Which"."""
    truth = {row["question"]: row["category"] for row in make_rows()}

    def probabilities(questions: list[Question]) -> FloatArray:
        right = [labels.index(truth[question.text]) for question in questions]
        wrong = [question.text.startswith("Which") for question in questions]
        return one_hot_like([(index + fails) % 4 for index, fails in zip(right, wrong, strict=True)], 4, top=0.7)

    return FakeClassifier(labels, probabilities)


def test_the_report_and_the_predictions_agree(split_folder: Path) -> None:
    data = open_split(split_folder)
    evaluation = evaluate(oracle(), split_rows(data), name="oracle", command="subjectwise evaluate oracle")
    report, rows = evaluation.report, evaluation.predictions
    truth, predicted = [row.label for row in rows], [row.predicted for row in rows]
    assert [row.row_id for row in rows] == data.manifest["splits"]["test"]["row_ids"]
    assert report.data.rows == len(rows) and report.data.manifest_sha256 == data.manifest_sha256
    assert (report.predictor, report.command) == ("oracle", "subjectwise evaluate oracle")
    assert report.metrics.accuracy.value == pytest.approx(accuracy_score(truth, predicted))
    assert 0 < report.metrics.accuracy.value < 1
    assert report.metrics.macro_f1 is not None
    assert report.metrics.macro_f1.value == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert sum(row.rows for row in report.per_class.values()) == len(rows)
    assert sum(row.rows for row in report.per_source.values()) == len(rows)
    assert report.confusion is not None and np.sum(report.confusion.counts) == len(rows)
    assert all(row.score == max(row.scores.values()) == row.scores[row.predicted] for row in rows)
    assert report.speed is not None and report.speed.questions_per_second > 0
    assert report.versions["python"] and report.machine["system"]


def test_options_are_hidden_unless_requested(split_folder: Path, tiny_model: Path) -> None:
    data = open_split(split_folder)
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    counted: list[int] = []
    without = evaluate(classifier, split_rows(data), on_progress=counted.append).report
    assert sum(counted) == without.data.rows
    shown = evaluate(classifier, split_rows(data), with_options=True).report
    assert not without.data.with_options and shown.data.with_options
    assert without.metrics.nll != shown.metrics.nll
    limited = evaluate(classifier, split_rows(data), limit=5, allow_missing=True)
    assert limited.report.data.rows == len(limited.predictions) == 5


def test_a_limit_spreads_the_rows(split_folder: Path) -> None:
    rows = split_rows(open_split(split_folder))
    limited = evaluate(oracle(), rows, limit=5, allow_missing=True).predictions
    ids = [example.row_id for example in rows.examples]
    chosen = [ids.index(row.row_id) for row in limited]
    assert chosen[0] == 0 and chosen[-1] == len(ids) - 1 and chosen == sorted(set(chosen))
    assert evaluate(oracle(), rows, limit=10_000).report.data.rows == len(ids)


def test_the_prior_is_corrected(split_folder: Path) -> None:
    rows = split_rows(open_split(split_folder))
    plain = [list(row.scores.values()) for row in evaluate(oracle(), rows).predictions]
    corrected = evaluate(oracle(), rows, prior_correction="batch")
    assert corrected.report.data.prior_correction == "batch"
    given = [list(row.scores.values()) for row in corrected.predictions]
    np.testing.assert_allclose(given, correct_prior(np.array(plain), "batch", ()))
    assert not np.allclose(given, plain)


def test_unknown_labels_in_the_data(split_folder: Path) -> None:
    narrow = FakeClassifier(["biology", "law"], lambda questions: np.full((len(questions), 2), 0.5))
    with pytest.raises(DataError, match="label 'computer science', which narrow does not know"):
        evaluate(narrow, split_rows(open_split(split_folder)), name="narrow")


@pytest.mark.parametrize(
    ("label", "suggestion"),
    [
        ("Biology", "does not know; did you mean 'biology'? Rename the labels in the data."),
        ("Computer_Science", "did you mean 'computer science'?"),
        ("phisics", "did you mean 'physics'?"),
        ("gastronomy", "does not know."),
    ],
)
def test_a_label_that_is_nearly_right_is_suggested(label: str, suggestion: str) -> None:
    examples = [Example("1", Question("What is it?"), label)]
    with pytest.raises(DataError, match=re.escape(suggestion)):
        evaluate(oracle(), Rows(examples, "file", "x", "y"), name="oracle", allow_missing=True)


def test_predictors_by_name(tiny_model: Path, tiny_base: Path, split_folder: Path) -> None:
    labels = open_split(split_folder).labels
    assert list(load_predictor(str(tiny_model), labels, compute=FLOAT32).classes_) == LABELS
    assert list(load_predictor(f"zero-shot:{tiny_base}", labels, compute=FLOAT32).classes_) == LABELS


def test_predictors_that_learn_from_the_split(tiny_base: Path, split_folder: Path) -> None:
    data = open_split(split_folder)
    shots = draw_shots(data)
    assert sorted(shot.label for shot in shots) == LABELS and shots == draw_shots(data)
    assert {shot.row_id for shot in shots} <= set(data.manifest["splits"]["train"]["row_ids"])
    few = load_predictor(f"few-shot:{tiny_base}", data.labels, data=data, compute=FLOAT32)
    other = load_predictor(f"zero-shot:{tiny_base}", data.labels, compute=FLOAT32)
    question = ["What is a photon?"]
    assert not np.allclose(few.score(question).probabilities, other.score(question).probabilities)
    with pytest.raises(DataError, match="learns from training rows"):
        load_predictor(f"few-shot:{tiny_base}", data.labels)


def test_the_sections_count_the_same_mistakes(split_folder: Path) -> None:
    data = open_split(split_folder)
    report = evaluate(oracle(), split_rows(data), name="oracle").report
    wrong = [row for row in split_rows(data).examples if row.question.text.startswith("Which")]
    assert {row.row_id for row in report.confident_errors} == {row.row_id for row in wrong}
    assert len(report.confident_errors) < 20
    assert sum(pair.rows for pair in report.confused_pairs) == len(wrong)
    assert sum(row.rows for row in report.slices["length"].values()) == report.data.rows
    assert sum(row.rows for row in report.uncertainty) == report.data.rows
    assert report.calibration is not None and report.calibration.after is not None
    assert report.metrics.ece is not None and report.calibration.after.ece == report.metrics.ece.value > 0
    assert all(point.coverage >= share / 100 for share, point in enumerate(report.risk_coverage, 1))
    assert report.risk_coverage[-1].accuracy == report.metrics.accuracy.value


def test_thresholds_are_measured_on_these_rows(split_folder: Path) -> None:
    predictor = oracle()
    predictor.thresholds = {"0.5": 0.7, "0.99": 0.9}
    rows = split_rows(open_split(split_folder))
    report = evaluate(predictor, rows).report
    low, high = report.thresholds["0.5"], report.thresholds["0.99"]
    assert (low.threshold, low.rows, low.coverage) == (0.7, len(rows.examples), 1.0)
    assert low.accuracy is not None and low.accuracy.value == report.metrics.accuracy.value
    assert (high.rows, high.coverage, high.accuracy) == (0, 0.0, None)


def test_the_temperature_is_the_models_own(split_folder: Path, tiny_model: Path) -> None:
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    report = evaluate(classifier, split_rows(open_split(split_folder), "validation")).report
    calibration = report.calibration
    assert calibration is not None and calibration.before is not None and calibration.after is not None
    assert calibration.temperature == classifier.temperature != 1
    assert calibration.after.nll is not None and calibration.before.nll is not None and report.metrics.nll is not None
    assert calibration.after.nll <= calibration.before.nll
    assert calibration.after.nll == pytest.approx(report.metrics.nll.value)


def test_a_labelled_file(rows_file: Path) -> None:
    rows = file_rows(str(rows_file))
    assert (rows.protocol, rows.split, len(rows.examples)) == ("file", rows_file.name, len(make_rows()))
    assert len(rows.manifest_sha256) == 64
    few = Rows(rows.examples[:3], "file", "x", "y")
    assert Counter(row.label for row in few.examples) == {"biology": 3}
    with pytest.raises(DataError, match="No row has the label 'computer science'"):
        evaluate(oracle(), few)
    assert evaluate(oracle(), few, allow_missing=True).report.data.rows == 3


def test_noise_is_measured_on_the_same_rows(split_folder: Path) -> None:
    data = open_split(split_folder)
    predictor = load_predictor("baseline:tfidf-svm", None, data=data)
    rows = split_rows(data)
    report = evaluate(predictor, rows, perturb=["typos", "case"], perturb_seed=1).report
    assert [row.level for row in report.robustness["typos"]] == ["0.02", "0.05", "0.1"]
    clean = [Question(row.question.text) for row in rows.examples]
    noisy = perturb_questions(clean, "typos", "0.1", seed=1)
    before = predictor.score(clean).probabilities.argmax(axis=1)
    after = predictor.score(noisy).probabilities.argmax(axis=1)
    truth = [list(predictor.classes_).index(row.label) for row in rows.examples]
    row = report.robustness["typos"][2]
    assert row.labels_kept.value == pytest.approx(np.mean(after == before))
    assert row.accuracy.value == pytest.approx(np.mean(after == truth))
    assert row.change.value == pytest.approx(np.mean(after == truth) - np.mean(before == truth))
    assert row.change.low <= row.change.value <= row.change.high
    again = evaluate(predictor, rows, perturb=["typos", "case"], perturb_seed=1).report
    assert again.robustness == report.robustness
    assert evaluate(predictor, rows).report.robustness == {}
    with pytest.raises(DataError, match="Unknown noise 'static'"):
        evaluate(predictor, rows, perturb=["static"])
