"""The fast model: what it answers, how it is saved, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers.fast_models import SMALL_TALK, examples, tiny_fast_model
from helpers.folders import edit
from subjectwise.errors import ModelFolderError
from subjectwise.models.fast_model import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    FastModel,
    is_fast_folder,
    load_fast_model,
    save_fast_model,
)


@pytest.fixture(scope="module")
def fast() -> FastModel:
    return tiny_fast_model()


@pytest.fixture
def folder(fast: FastModel, tmp_path: Path) -> Path:
    path = tmp_path / "fast"
    path.mkdir()
    save_fast_model(path, fast)
    return path


def test_it_answers_questions_and_tells_small_talk(fast: FastModel) -> None:
    rows = [row for row in examples()[1::2] if row.label in fast.labels]
    answers = fast.answer([row.question.text for row in rows])
    best = answers.probabilities.argmax(axis=1)
    assert np.mean([fast.labels.names[i] == row.label for i, row in zip(best, rows, strict=True)]) > 0.9
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1)
    talk = fast.answer(SMALL_TALK)
    assert talk.in_scope.max() < answers.in_scope.mean() and talk.none.mean() > 3 * answers.none.mean()
    assert (answers.confidence <= answers.probabilities.max(axis=1)).all()


def test_words_of_the_training_rows_are_known(fast: FastModel) -> None:
    known = fast.answer(["What is a neuron?", "zzyzx qwrtp", "What is zzyzx qwrtp", "?"]).known
    assert known[0] == 1 and known[1] < 0.1 and known[2] == 0.5 and known[3] == 0


def test_a_text_without_features_has_the_scores_of_none(fast: FastModel) -> None:
    scores, _ = fast.scores(["", "neuron"])
    np.testing.assert_allclose(scores[0], fast.weights.intercepts)
    assert fast.answer([]).probabilities.shape == (0, len(fast.labels))


def test_an_answer_depends_on_no_other(fast: FastModel) -> None:
    texts = [row.question.text for row in examples()] * 2
    together = fast.answer(texts).probabilities
    for index in (0, 70, 150):
        np.testing.assert_array_equal(fast.answer([texts[index]]).probabilities[0], together[index])


def test_saved_and_loaded_it_says_the_same(fast: FastModel, folder: Path) -> None:
    loaded = load_fast_model(folder)
    assert loaded.config == fast.config and is_fast_folder(folder) and len(loaded.sha256) == 64
    texts = [row.question.text for row in examples()]
    np.testing.assert_array_equal(loaded.answer(texts).probabilities, fast.answer(texts).probabilities)


def test_answering_imports_no_scikit_learn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("sklearn", "scipy")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("sklearn", "scipy", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    assert load_fast_model(folder).answer(["What is a neuron?"]).probabilities.argmax() == 0


def test_what_is_damaged_is_refused(folder: Path, tmp_path: Path) -> None:
    def refused(name: str, match: str) -> None:
        with pytest.raises(ModelFolderError, match=match):
            load_fast_model(tmp_path / name)

    def copy(name: str) -> Path:
        return Path(shutil.copytree(folder, tmp_path / name))

    (copy("no-weights") / WEIGHTS_FILE).unlink()
    refused("no-weights", "fast.safetensors is missing; train the fast model again")
    (copy("cut") / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:500])
    refused("cut", "is damaged")
    (copy("no-json") / CONFIG_FILE).write_text("{")
    refused("no-json", "Cannot read .*fast.json as JSON")
    edit(copy("later") / CONFIG_FILE, schema_version=9)
    refused("later", "has schema version 9; this version reads 1")
    edit(copy("cold") / CONFIG_FILE, temperature=0.0)
    refused("cold", "temperature is not above 0")
    edit(copy("labels") / CONFIG_FILE, labels=["law", "physics"])
    refused("labels", "do not fit together")
    tensors = load_file(folder / WEIGHTS_FILE)
    save_file({**tensors, "weights": tensors["weights"].astype(np.float32)}, copy("floats") / WEIGHTS_FILE)
    refused("floats", "has the type float32")
    save_file({key: value for key, value in tensors.items() if key != "idf"}, copy("part") / WEIGHTS_FILE)
    refused("part", "damaged")


def test_numbers_of_another_shape_are_refused(fast: FastModel) -> None:
    with pytest.raises(ModelFolderError, match="do not fit together"):
        FastModel(fast.config, replace(fast.weights, intercepts=np.zeros(2, dtype=np.float32)))


def test_the_file_says_what_it_is(folder: Path) -> None:
    values = json.loads((folder / CONFIG_FILE).read_text())
    assert values["labels"] == ["biology", "computer science", "law", "physics"]
    assert values["features"] == {"word_buckets": 1024, "character_buckets": 2048, "shortest": 2, "longest": 5}
