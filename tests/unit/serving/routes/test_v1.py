from __future__ import annotations

import json
from typing import Any

import httpx

from helpers.serving import WritingClassifier, check_refused, serving_fake
from helpers.tiny_models import make_rows
from subjectwise.serving.loaded_model import LoadedModel

QUESTION = "What is a photon and how does it differ from a lens?"


def test_questions_with_options_and_decisions(client: httpx.Client, loaded: LoadedModel) -> None:
    rows = make_rows()[:3]
    body = {
        "questions": [rows[0]["question"], {"text": rows[1]["question"], "options": rows[1]["options"]}],
        "with_options": True, "top_k": 2, "multi_label": True, "min_confidence": 1.0, "explain": False,
    }  # fmt: skip
    answer = client.post("/v1/classify", json=body).json()
    assert answer["model"] == {"name": "tiny", "version": loaded.classifier.weights_sha256[:12]}
    for result, row in zip(answer["results"], rows, strict=False):
        assert result["question"] == row["question"] and result["label"] == "abstain" and result["best_label"]
        assert result["top"][0]["label"] == result["best_label"] and len(result["top"]) == 2
        assert result["labels"] == [] and 0 <= result["entropy"] <= 1


def test_what_was_not_requested_is_not_sent(client: httpx.Client, loaded: LoadedModel) -> None:
    plain = client.post("/v1/classify", json={"questions": [QUESTION]}).json()["results"][0]
    assert not {"best_label", "entropy", "labels", "explanation"} & set(plain)
    assert len(plain["top"]) == len(loaded.labels)


def test_options_are_shown_where_wanted(client: httpx.Client) -> None:
    row = make_rows()[40]
    question = {"text": row["question"], "options": row["options"]}

    def scores(**changes: Any) -> dict[str, float]:
        body = {"questions": [question], **changes}
        found: dict[str, float] = client.post("/v1/classify", json=body).json()["results"][0]["scores"]
        return found

    bare = client.post("/v1/classify", json={"questions": [row["question"]]}).json()["results"][0]["scores"]
    assert scores() == scores(with_options=False) == scores(with_options=None) == bare, "the model reads no options"
    assert scores(with_options=True) != bare


def test_what_the_model_is(client: httpx.Client, loaded: LoadedModel) -> None:
    facts = client.get("/v1/model").json()
    assert {key: facts[key] for key in loaded.facts} == loaded.facts
    assert facts["limits"]["questions"] == 128 and "/" not in json.dumps(facts["base"])


def test_explanations(client: httpx.Client) -> None:
    real = client.post("/v1/classify", json={"questions": [QUESTION], "explain": True}).json()["results"][0]
    assert real["explanation"]["evidence"] and real["label"] in json.dumps(real["explanation"])
    assert "sentence" not in real["explanation"]
    wished = {"questions": [QUESTION], "explain": True, "sentence": True}
    check_refused(client.post("/v1/classify", json=wished), 422, "started without --sentences")
    assert client.get("/v1/model").json()["sentences"] is False


def test_explanations_have_limits() -> None:
    asked = {"questions": ["a", "b"], "explain": True}
    with serving_fake() as client:
        results = client.post("/v1/classify", json=asked).json()["results"]
        assert [result["explanation"]["question"] for result in results] == ["a", "b"]
        many = {"questions": ["a"] * 9, "explain": True}
        check_refused(client.post("/v1/classify", json=many), 413, "8 questions")
        long = {"questions": ["a" * 4_999, {"text": "b", "options": ["c" * 5_001]}], "with_options": True}
        check_refused(client.post("/v1/classify", json=long | {"explain": True}), 413, "10,001 characters")
        assert client.post("/v1/classify", json=long).status_code == 200
        unseen = long | {"with_options": False, "explain": True}
        assert client.post("/v1/classify", json=unseen).status_code == 200, "options that are not shown cost nothing"
        assert client.get("/v1/model").json()["limits"]["explained_characters"] == 10_000


def test_sentences() -> None:
    with serving_fake(WritingClassifier()) as client:
        wished = {"questions": ["a", "b"], "explain": True, "sentence": True}
        results = client.post("/v1/classify", json=wished).json()["results"]
        assert [result["explanation"]["sentence"] for result in results] == ["This is even because it is."] * 2
        check_refused(client.post("/v1/classify", json=wished | {"explain": False}), 422, "set explain as well")
        assert client.get("/v1/model").json()["sentences"] is True


def test_bad_settings_are_one_sentence(client: httpx.Client) -> None:
    def ask(**changes: Any) -> httpx.Response:
        return client.post("/v1/classify", json={"questions": ["a"], **changes})

    check_refused(ask(questions=[]), 422, "questions")
    check_refused(ask(questions=["a", 1]), 422, "Question 2 must be a text")
    check_refused(ask(questions=["a", {"text": "b", "option": []}]), 422, "Question 2")
    check_refused(ask(questions=[{"text": "a", "options": ["b"] * 65}]), 422, "64 options")
    check_refused(ask(questions=["a", ""]), 422, "Question 2: The question is empty")
    check_refused(ask(questions=["a"] * 129), 413, "the limit is 128")
    check_refused(ask(top_k=0), 422, "top_k")
    check_refused(ask(top_k="3"), 422, "top_k")
    check_refused(ask(min_confidence=1.5), 422, "min_confidence")
    check_refused(ask(mn_confidence=0.5), 422, "mn_confidence is unknown")
    for odd in ('"min_confidence": NaN', '"top_k": 1e999', '"\\ud800": 1', '"x\\u0000": 1', '"questions": {}'):
        body = f'{{"questions": ["a"], {odd}}}'
        check_refused(client.post("/v1/classify", content=body, headers={"Content-Type": "application/json"}), 422)


def test_reload_needs_a_key(client: httpx.Client) -> None:
    check_refused(client.post("/v1/reload"), 401, "SIGHUP")
