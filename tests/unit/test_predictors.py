"""Predictors by name, as every command takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from subjectwise.baselines.baseline import Baseline
from subjectwise.classifier import Classifier
from subjectwise.data.split import SplitFolder, open_split
from subjectwise.errors import BaseModelError, DataError, ModelFolderError
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.models.devices import Compute
from subjectwise.predictors import default_name, draw_shots, fit_baseline, load_answering_predictor, load_predictor

CPU = Compute("cpu", "float32")


@pytest.fixture(scope="module")
def data(split_folder: Path) -> SplitFolder:
    return open_split(split_folder)


@pytest.fixture(scope="module")
def baseline_folder(tmp_path_factory: pytest.TempPathFactory, data: SplitFolder) -> Path:
    folder = tmp_path_factory.mktemp("baselines") / "tfidf"
    fit_baseline("tfidf-svm", data).save(folder)
    return folder


def test_a_model_folder(tiny_model: Path) -> None:
    predictor = load_predictor(str(tiny_model), compute=CPU)
    assert isinstance(predictor, Classifier) and predictor.weights_sha256
    with pytest.raises(ModelFolderError, match="Unknown model nowhere"):
        load_predictor("nowhere")
    with pytest.raises(ModelFolderError, match="has no vocabulary, which spelling correction needs"):
        load_predictor(str(tiny_model), compute=CPU, spelling="en")
    with pytest.raises(DataError, match="baseline:tfidf-svm does not correct spelling"):
        load_predictor("baseline:tfidf-svm", spelling="en")


def test_labels_of_ones_own_on_a_base_of_ones_own(tiny_base: Path) -> None:
    own = LabelSet(("refund", "delivery"))
    predictor = load_answering_predictor("", own, base=str(tiny_base), compute=CPU)
    assert isinstance(predictor, Classifier) and str(tiny_base) in repr(predictor)
    with pytest.raises(DataError, match=f"names its own; write zero-shot:{tiny_base}."):
        load_predictor("zero-shot:embedded", own, base=str(tiny_base), compute=CPU)


def test_a_baseline_folder_and_a_baseline_that_is_fitted_at_once(baseline_folder: Path, data: SplitFolder) -> None:
    saved, fitted = load_predictor(str(baseline_folder)), load_predictor("baseline:tfidf-svm", data=data)
    assert isinstance(saved, Baseline) and isinstance(fitted, Baseline)
    questions = [row.question for row in data.examples("test")]
    np.testing.assert_allclose(saved.score(questions).probabilities, fitted.score(questions).probabilities)
    with pytest.raises(DataError, match="learns from training rows; give it a split folder"):
        load_predictor("baseline:tfidf-svm")


@pytest.mark.parametrize(
    ("compute", "option"), [(Compute("cpu", "bfloat16"), "--dtype bfloat16"), (Compute(engine="openvino"), "--engine")]
)
def test_a_baseline_refuses_what_does_not_apply_to_it(
    baseline_folder: Path, data: SplitFolder, compute: Compute, option: str
) -> None:
    for name in (str(baseline_folder), "baseline:majority"):
        with pytest.raises(DataError, match=f"is a baseline, to which {option}"):
            load_predictor(name, data=data, compute=compute)


def test_options_are_seen_where_they_are_wanted(data: SplitFolder) -> None:
    shown, hidden = (fit_baseline("tfidf-svm", data, with_options=wanted) for wanted in (True, False))
    assert shown.temperature != hidden.temperature


def test_any_labels_without_training(tiny_base: Path, data: SplitFolder) -> None:
    labels = LabelSet(("refund", "delivery"))
    assert load_predictor(f"zero-shot:{tiny_base}", labels, compute=CPU).labels == labels
    assert load_predictor(f"zero-shot:{tiny_base}", compute=CPU).labels.names == MMLU_PRO_LABELS
    few = load_predictor(f"few-shot:{tiny_base}", data=data, compute=CPU)
    assert few.labels == data.labels
    with pytest.raises(DataError, match="learns from training rows"):
        load_predictor(f"few-shot:{tiny_base}")
    with pytest.raises(BaseModelError, match="Unknown folder ./nowhere"):
        load_predictor("zero-shot:./nowhere")


def test_one_example_per_label_is_drawn_with_the_seed(data: SplitFolder) -> None:
    shots = draw_shots(data)
    assert sorted(row.label for row in shots) == sorted(data.labels) and shots == draw_shots(data)
    assert shots != draw_shots(data, seed=1)
    assert all(row in data.examples("train") for row in shots)


def test_labels_of_another_model_are_refused(tiny_model: Path) -> None:
    same = LabelSet(("Physics", "law", "Computer  Science", "biology"))
    assert load_answering_predictor(str(tiny_model), same, compute=CPU).labels.names[0] == "biology"
    with pytest.raises(DataError, match="was trained on other labels than the given ones"):
        load_answering_predictor(str(tiny_model), LabelSet(("refund", "delivery")), compute=CPU)
    assert default_name(None) == "shipped" and default_name(same) == "zero-shot:embedded"
