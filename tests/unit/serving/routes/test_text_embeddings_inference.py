from __future__ import annotations

import math
from typing import Any

import httpx
import pytest

from helpers.serving import check_refused
from subjectwise.serving.loaded_model import LoadedModel

QUESTION = "What is a photon and how does it differ from a lens?"


def test_a_text_or_a_list_of_texts(client: httpx.Client, loaded: LoadedModel) -> None:
    single = client.post("/predict", json={"inputs": QUESTION}).json()
    assert single[0]["label"] == loaded.classifier.classify(QUESTION).label
    batch = client.post("/predict", json={"inputs": [[QUESTION], ["What is a tort?"]], "truncate": True}).json()
    assert [row["label"] for row in batch[0]] == [row["label"] for row in single] and len(batch) == 2


def test_raw_scores_are_log_probabilities(client: httpx.Client) -> None:
    single = client.post("/predict", json={"inputs": QUESTION}).json()
    raw = client.post("/predict", json={"inputs": QUESTION, "raw_scores": True, "truncate": None}).json()
    assert [math.exp(row["score"]) for row in raw] == pytest.approx([row["score"] for row in single], abs=1e-5)


@pytest.mark.parametrize("inputs", [["a", "b"], [["a", "b"]], [["a"], "b"], [], [[]], 1, None])
def test_pairs_and_other_forms_are_refused(client: httpx.Client, inputs: Any) -> None:
    check_refused(client.post("/predict", json={"inputs": inputs}), 422, "pairs", kind="validation")


def test_info_and_health(client: httpx.Client, loaded: LoadedModel) -> None:
    assert client.get("/health").status_code == 200 and not client.get("/health").content
    info = client.get("/info").json()
    assert info["model_type"]["classifier"]["id2label"] == {str(i): name for i, name in enumerate(loaded.labels)}
    assert info["model_sha"] == loaded.version and info["auto_truncate"] is True
    assert info["max_input_length"] == loaded.max_tokens
    assert (info["model_dtype"], info["served_model_name"]) == ("float32", "tiny")
    too_many = [["What is a tort?"]] * (info["max_client_batch_size"] + 1)
    check_refused(client.post("/predict", json={"inputs": too_many}), 413, kind="validation")
