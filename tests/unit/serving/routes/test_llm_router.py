from __future__ import annotations

import httpx
import pytest

from subjectwise.serving.loaded_model import LoadedModel

QUESTION = "What is a photon and how does it differ from a lens?"


def test_one_text_and_the_scores_of_all_labels(client: httpx.Client, loaded: LoadedModel) -> None:
    response = client.post("/classify", json={"inputs": QUESTION, "parameters": {"top_k": 1}})
    rows = response.json()
    assert response.status_code == 200 and all(set(row) == {"label", "score"} for row in rows)
    assert sorted(row["label"] for row in rows) == sorted(loaded.labels)
    assert sum(row["score"] for row in rows) == pytest.approx(1, abs=0.02)
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    expected = loaded.classifier.classify(QUESTION)
    assert {row["label"]: row["score"] for row in rows} == pytest.approx(expected.scores, abs=1e-5)
