from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import fake_classifier
from helpers.serving import FakeClassifier, WritingClassifier
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.engines.pytorch.packed_decoder import RUNS_BEFORE_CAPTURE
from subjectwise.errors import SubjectwiseError
from subjectwise.labels import LabelSet
from subjectwise.models.devices import Compute
from subjectwise.predictors import fit_baseline
from subjectwise.serving import loaded_model
from subjectwise.serving.loaded_model import LoadedModel, describe, load_model

CPU = Compute("cpu", "float32")


def test_a_trained_model_tells_what_it_is(loaded: LoadedModel, tiny_model: Path) -> None:
    classifier = loaded.classifier
    assert isinstance(classifier, Classifier) and classifier.config is not None
    assert (loaded.name, loaded.version) == ("tiny", classifier.weights_sha256[:12])
    assert [row["label"] for row in loaded.facts["labels"]] == list(loaded.labels)
    assert loaded.facts["temperature"] == classifier.temperature
    assert loaded.facts["measured"]["validation"]["rows"] > 0
    assert loaded.max_tokens == classifier.config.prompt.max_tokens
    assert str(tiny_model.parent) not in json.dumps(loaded.facts)


def test_the_device_and_the_precision_are_those_that_compute(loaded: LoadedModel) -> None:
    assert isinstance(loaded.classifier, Classifier)
    assert (loaded.device, loaded.dtype) == loaded.classifier.runs_on
    assert loaded.device == "cpu" and loaded.dtype in ("float32", "bfloat16")


def test_a_classifier_without_a_folder_has_no_version() -> None:
    fake = FakeClassifier()
    fake.weights_sha256 = ""
    model = describe(fake, "fake")
    assert (model.version, model.max_tokens, model.facts["base"]) == ("", 0, None)


def test_the_sentence_writer_is_loaded_at_once_where_sentences_are_allowed() -> None:
    writing = WritingClassifier()
    assert not describe(writing, "fake").writes_sentences and writing.loads == 0
    model = describe(writing, "fake", sentences=True)
    assert model.writes_sentences and model.facts["sentences"] and writing.loads == 1
    with pytest.raises(SubjectwiseError, match=r"The base in .* cannot write"):
        describe(FakeClassifier(), "fake", sentences=True)


def test_a_baseline_writes_no_sentences(split_folder: Path) -> None:
    baseline = fit_baseline("majority", open_split(split_folder))
    with pytest.raises(SubjectwiseError, match="majority writes no sentences; leave out --sentences"):
        describe(baseline, "majority", sentences=True)


def test_a_name_has_no_path_of_this_machine(tiny_base: Path) -> None:
    own = LabelSet(("refund", "delivery"))
    model = load_model(f"zero-shot:{tiny_base}", own, compute=CPU)
    assert model.name == f"zero-shot:{tiny_base.name}" and model.labels == own


def test_a_model_of_other_labels_is_refused(tiny_model: Path) -> None:
    with pytest.raises(SubjectwiseError, match="trained on other labels"):
        load_model(str(tiny_model), LabelSet(("refund", "delivery")), compute=CPU)


def test_spelling_is_corrected_where_a_model_can(tiny_model: Path) -> None:
    assert load_model(str(tiny_model), compute=CPU, spelling="none").labels
    with pytest.raises(SubjectwiseError, match="has no vocabulary, which spelling correction needs"):
        load_model(str(tiny_model), compute=CPU, spelling="en")


def test_a_gpu_is_warmed_up_and_a_cpu_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    fake = fake_classifier.FakeClassifier(on_score=lambda texts: sizes.append(len(texts)))
    monkeypatch.setattr(loaded_model, "load_answering_predictor", lambda *_, **__: fake)
    load_model("fake")
    assert sizes == []
    described = describe(fake, "fake")
    monkeypatch.setattr(loaded_model, "describe", lambda *_, **__: replace(described, device="cuda"))
    load_model("fake")
    assert sorted(set(sizes)) == [1, 12, 48] and sizes.count(1) > RUNS_BEFORE_CAPTURE
