"""A server with a cascade: who answered is said, and what is explained is the language model's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import numpy as np
import pytest

from helpers.fast_models import SMALL
from helpers.serving import FakeClassifier, serving
from subjectwise.baselines.cascade import Cascade
from subjectwise.models.fast_model import FastModel
from subjectwise.records import Example, Question
from subjectwise.serving.app import create_app
from subjectwise.serving.loaded_model import describe
from subjectwise.statistics.cascade import Promise
from subjectwise.training.fit_fast_model import calibrate_fast_model, fit_fast_model

ROWS = [
    Example(f"{label}-{number}", Question(f"the {word} number {number}"), label)
    for label, words in (("even", ("two", "four", "six")), ("odd", ("one", "three", "five")))
    for word in words
    for number in range(4)
]
KNOWN, UNKNOWN = "the three number 2", "zzyzx"


@pytest.fixture(scope="module")
def model() -> FakeClassifier:
    return FakeClassifier()


@pytest.fixture(scope="module")
def client(model: FakeClassifier) -> Iterator[httpx.Client]:
    fitted = calibrate_fast_model(fit_fast_model(ROWS, model.labels, SMALL), ROWS, np.ones(len(ROWS)))
    fast = FastModel(
        replace(fitted.config, promises={"0": Promise(0.6)}, min_known=0.5, model_sha256=model.weights_sha256),
        fitted.weights,
    )
    with serving(create_app(lambda: describe(Cascade(fast, model), "cascade:pair+pair"))) as client:
        yield client


def test_an_answer_says_whose_it_is(client: httpx.Client, model: FakeClassifier) -> None:
    model.batches.clear()
    results = client.post("/v1/classify", json={"questions": [KNOWN, UNKNOWN]}).json()["results"]
    assert [result["answered_by"] for result in results] == ["fast", "model"]
    assert [result["label"] for result in results] == ["odd", "even"]
    assert model.batches == [[UNKNOWN]]
    facts = client.get("/v1/model").json()
    assert facts["cascade"] is True and facts["warning"] == ""


def test_an_explained_answer_is_the_language_models(client: httpx.Client, model: FakeClassifier) -> None:
    model.batches.clear()
    [result] = client.post("/v1/classify", json={"questions": [KNOWN], "explain": True}).json()["results"]
    assert (result["answered_by"], result["label"]) == ("model", "even")
    assert result["explanation"]["label"] == "even" and model.batches[0] == [KNOWN]


def test_other_contracts_have_the_fields_that_they_had(client: httpx.Client) -> None:
    answer = client.post("/classify", json={"inputs": KNOWN}).json()
    assert {tuple(sorted(row)) for row in answer} == {("label", "score")} and answer[0]["label"] == "odd"
    assert sum(row["score"] for row in answer) == pytest.approx(1)
