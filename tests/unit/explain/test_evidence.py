from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from subjectwise.baselines.baseline import Baseline
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.errors import BaseModelError, DataError, QuestionError
from subjectwise.explain.evidence import find_evidence, hide, log_odds
from subjectwise.explain.sentence import _first_sentence, _names_any
from subjectwise.labels import LabelSet
from subjectwise.types import FloatArray, Question

LABELS = ["law", "physics", "other"]


class Words:
    """Gives physics by the words it knows, and counts the questions it is asked."""

    def __init__(self, **weights: float) -> None:
        self.weights, self.asked = weights, [0]

    def __call__(self, questions: Sequence[Question]) -> FloatArray:
        self.asked.append(len(questions))
        logits = np.zeros((len(questions), 3))
        for row, question in enumerate(questions):
            text = " ".join([question.text, *question.options]).lower()
            logits[row, 1] = 0.5 + sum(weight for word, weight in self.weights.items() if word in text)
            logits[row, 0] = 1.5 * ("contract" in text)
        probabilities = np.exp(logits)
        return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))


def test_a_short_question_is_read_word_by_word_in_one_batch() -> None:
    answer = Words(torque=2.0, speed=1.0, slow=-0.5)
    question = Question("Which torque gives a slow wheel its speed under contract?")
    found = find_evidence(question, LABELS, answer)
    assert answer.asked == [0, 1 + len(found.evidence)], "one batch"
    assert (found.label, found.runner_up) == ("physics", "law")
    assert [item.text for item in found.strongest(2)] == ["torque", "speed"]
    assert all(question.text[item.start : item.end] == item.text for item in found.evidence)
    weights = {item.text: item.weight for item in found.evidence}
    assert weights["slow"] < 0 < weights["speed"] < weights["torque"]
    assert "Which" not in weights and "its" not in weights
    assert [item.text for item in found.strongest(1, runner_up=True)] == ["contract"]
    whole, without = answer([question, Question(question.text.replace("torque ", ""))])[:, 1]
    assert weights["torque"] == pytest.approx(float(log_odds(whole) - log_odds(without)))


def test_a_long_question_is_read_twice_and_finds_the_word() -> None:
    words = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(120)]
    for place in (0, 57, 119):
        answer = Words(torque=3.0)
        text = " ".join([*words[:place], "torque", *words[place:]])
        found = find_evidence(Question(text), LABELS, answer, rounds=32)
        assert len(answer.asked) == 3 and sum(answer.asked) <= 1 + 32
        assert "torque" in found.strongest(1)[0].text
        assert len(found.strongest(1)[0].text.split()) == 1
        covered = [item.text for item in found.evidence]
        assert " ".join(covered) == text, "every word is in one piece of the evidence"


def test_options_are_hidden_as_wholes() -> None:
    question = Question("Which is it?", options=("a torque", "a contract"))
    found = find_evidence(question, LABELS, Words(torque=2.0), with_options=True)
    options = [item for item in found.evidence if item.option is not None]
    assert [(item.text, item.option) for item in options] == [("a torque", 0), ("a contract", 1)]
    assert options[0].weight > 0.5
    assert not [item for item in find_evidence(question, LABELS, Words()).evidence if item.option is not None]


def test_few_rounds_and_many_options_still_look_into_a_run() -> None:
    question = Question("one torque three four five six seven eight nine ten", tuple("abcdefghij"))
    answer = Words(torque=2.0)
    found = find_evidence(question, LABELS, answer, with_options=True, rounds=4)
    assert 0 not in answer.asked[1:] and "torque" in found.strongest(1)[0].text
    assert len([item for item in found.evidence if item.option is not None]) == 10


def test_hiding_leaves_a_text() -> None:
    assert hide("a torque here", [(2, 8)]) == "a here"
    assert hide("torque", [(0, 6)]) == "..."
    assert hide("one two three", [(0, 3), (8, 13)]) == "two "
    assert find_evidence(Question("torque"), LABELS, Words(torque=1.0)).evidence[0].weight > 0
    assert find_evidence(Question("???"), LABELS, Words()).evidence == ()


def test_the_classifier_explains_what_it_answers(tiny_model: Path) -> None:
    classifier = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    question = "How does the enzyme change the membrane of a cell?"
    answer, found = classifier.classify(question), classifier.explain(question, sentence=True)
    assert found.label == answer.label and found.score == pytest.approx(answer.score)
    plain = found.to_dict()
    assert plain["sentence"].startswith(f"This is {found.label} because ") and plain["sentence"].endswith(".")
    assert set(plain["evidence"][0]) == {"text", "start", "end", "weight", "runner_up_weight"}
    again = classifier.explain(question, sentence=True)
    assert again.sentence == found.sentence, "greedy"
    assert "sentence" not in classifier.explain(question).to_dict()
    with pytest.raises(QuestionError):
        classifier.explain(" ")


def test_the_sentence_is_written_without_the_adapter(tiny_model: Path, tiny_base: Path) -> None:
    trained = Classifier.from_pretrained(tiny_model, device="cpu", dtype="float32")
    untrained = Classifier.zero_shot(trained.labels, base=str(tiny_base), device="cpu", dtype="float32")
    found = trained.explain("What does a judge do in court?")
    assert trained._sentences().write(found, LABELS) == untrained._sentences().write(found, LABELS)


def test_no_other_label_is_named() -> None:
    labels = ["math", "computer science", "law"]
    assert _names_any("it asks about Computer-Science.", labels, "physics")
    assert _names_any("that is a matter of law", labels, "math")
    assert not _names_any("mathematics and lawful things", labels, "physics")
    assert not _names_any("computer science it is", ["science"], "computer science")
    assert _first_sentence(" e.g it moves at 3.5 m/s. And then") == "e.g it moves at 3.5 m/s."
    assert _first_sentence("it was cut off,") == "it was cut off."
    assert _first_sentence("it is so.**Created Question**") == "it is so."
    assert _first_sentence("\n") == ""


def test_a_baseline_explains_by_words_alone(split_folder: Path) -> None:
    data = open_split(split_folder)
    baseline = Baseline.fit("tfidf-svm", data.examples("train"), data.examples("validation"), data.labels)
    found = baseline.explain(data.examples("test")[0].question)
    assert found.label == baseline.classify([data.examples("test")[0].question])[0].label and found.evidence
    with pytest.raises(DataError, match="cannot write a sentence"):
        baseline.explain("What is it?", sentence=True)


def test_labels_of_ones_own_with_descriptions_and_examples(tiny_base: Path) -> None:
    labels = LabelSet(("re", "re fund", "delivery"), {"re": "about"}, {"delivery": ("where is it",)})
    classifier = Classifier.zero_shot(labels, base=str(tiny_base), device="cpu", dtype="float32")
    assert classifier.predict_proba(["my parcel"]).sum() == pytest.approx(1)
    assert classifier.explain("my parcel is late").label in labels.names
    with pytest.raises(BaseModelError, match="nowhere"):
        Classifier.zero_shot(labels, base="./nowhere")
