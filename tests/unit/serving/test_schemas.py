from __future__ import annotations

import pytest
from pydantic import ValidationError

from subjectwise.records import Prediction
from subjectwise.serving.schemas import ClassifyRequest, QuestionsRequest, label_scores


def test_labels_come_best_first() -> None:
    prediction = Prediction("a", "b", 0.6, {"a": 0.1, "b": 0.6, "c": 0.3})
    scores = [{"label": "b", "score": 0.6}, {"label": "c", "score": 0.3}, {"label": "a", "score": 0.1}]
    assert label_scores(prediction) == scores
    assert label_scores(prediction, 2) == scores[:2]


def test_our_own_contract_is_strict_and_the_others_take_more_fields() -> None:
    assert ClassifyRequest.model_validate({"inputs": "a", "parameters": {}}).inputs == "a"
    for body in ({"inputs": 1}, {"questions": ["a"]}):
        with pytest.raises(ValidationError):
            ClassifyRequest.model_validate(body)
    for wrong in ({"top_k": "3"}, {"top_k": True}, {"more": 1}, {"min_confidence": 2}):
        with pytest.raises(ValidationError):
            QuestionsRequest.model_validate({"questions": ["a"], **wrong})
