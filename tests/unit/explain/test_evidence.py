"""The words that changed an answer are found in one or two batches, whatever the length of the question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from subjectwise.explain.evidence import find_evidence, hide, log_odds
from subjectwise.records import Question
from subjectwise.types import FloatArray

LABELS = ["law", "physics", "other"]


class WordModel:
    """Answers physics by the words it knows, and counts the questions of each batch."""

    def __init__(self, **weights: float) -> None:
        self.weights, self.batches = weights, list[int]()

    def __call__(self, questions: Sequence[Question]) -> FloatArray:
        self.batches.append(len(questions))
        logits = np.zeros((len(questions), 3))
        for row, question in enumerate(questions):
            text = " ".join([question.text, *question.options]).lower()
            logits[row, 1] = 0.5 + sum(weight for word, weight in self.weights.items() if word in text)
            logits[row, 0] = 1.5 * ("contract" in text)
        probabilities = np.exp(logits)
        return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))


def test_a_short_question_is_read_word_by_word_in_one_batch() -> None:
    answer = WordModel(torque=2.0, speed=1.0, slow=-0.5)
    question = Question("Which torque gives a slow wheel its speed under contract?")
    explanation = find_evidence(question, LABELS, answer)
    assert answer.batches == [1 + len(explanation.evidence)]
    assert (explanation.label, explanation.runner_up) == ("physics", "law")
    assert [item.text for item in explanation.strongest(2)] == ["torque", "speed"]
    assert all(question.text[item.start : item.end] == item.text for item in explanation.evidence)
    weights = {item.text: item.weight for item in explanation.evidence}
    assert weights["slow"] < 0 < weights["speed"] < weights["torque"]
    assert "Which" not in weights and "its" not in weights
    assert [item.text for item in explanation.strongest(1, runner_up=True)] == ["contract"]
    whole, without = answer([question, Question(question.text.replace("torque ", ""))])[:, 1]
    assert weights["torque"] == pytest.approx(float(log_odds(whole) - log_odds(without)))


@pytest.mark.parametrize("index", [0, 57, 119])
def test_a_word_of_a_long_question_is_found_in_two_batches(index: int) -> None:
    words = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(120)]
    answer, text = WordModel(torque=3.0), " ".join([*words[:index], "torque", *words[index:]])
    explanation = find_evidence(Question(text), LABELS, answer, rounds=32)
    assert len(answer.batches) == 2 and sum(answer.batches) <= 1 + 32
    strongest = explanation.strongest(1)[0].text
    assert "torque" in strongest and len(strongest.split()) == 1
    assert " ".join(item.text for item in explanation.evidence) == text, "every word is in one piece of the evidence"


def test_options_are_hidden_as_wholes() -> None:
    question = Question("Which is it?", options=("a torque", "a contract"))
    explanation = find_evidence(question, LABELS, WordModel(torque=2.0))
    options = [item for item in explanation.evidence if item.option is not None]
    assert [(item.text, item.option) for item in options] == [("a torque", 0), ("a contract", 1)]
    assert options[0].weight > 0.5
    plain = find_evidence(question.without_options(), LABELS, WordModel())
    assert not [item for item in plain.evidence if item.option is not None]


def test_few_rounds_and_many_options_still_look_into_a_run() -> None:
    question = Question("one torque three four five six seven eight nine ten", tuple("abcdefghij"))
    answer = WordModel(torque=2.0)
    explanation = find_evidence(question, LABELS, answer, rounds=4)
    assert 0 not in answer.batches and "torque" in explanation.strongest(1)[0].text
    assert len([item for item in explanation.evidence if item.option is not None]) == 10


def test_hiding_leaves_a_text() -> None:
    assert hide("a torque here", [(2, 8)]) == "a here"
    assert hide("torque", [(0, 6)]) == "..."
    assert hide("one two three", [(0, 3), (8, 13)]) == "two "
    assert find_evidence(Question("torque"), LABELS, WordModel(torque=1.0)).evidence[0].weight > 0
    assert find_evidence(Question("???"), LABELS, WordModel()).evidence == ()


def test_log_odds_are_finite() -> None:
    odds = log_odds(np.array([0.0, 0.5, 1.0]))
    assert odds[1] == 0 and np.isfinite(odds).all() and odds[0] == pytest.approx(-odds[2])
