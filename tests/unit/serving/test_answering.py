"""Answers equal those of the classifier; explanations take turns with other requests."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from helpers.serving import FakeClassifier, fake_model
from helpers.tiny_models import make_rows
from subjectwise.labels import LabelSet
from subjectwise.records import Decision, Explanation, Question, Scored
from subjectwise.serving.answering import AnswerOptions, answer_questions
from subjectwise.serving.error_responses import Refusal
from subjectwise.serving.limits import Limits
from subjectwise.serving.loaded_model import LoadedModel
from subjectwise.serving.request_queue import RequestQueue


def run(queue: RequestQueue, scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        queue.start()
        try:
            await asyncio.wait_for(scenario(), 20)
        finally:
            await queue.close()

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("the condition never held")


def test_answers_are_those_of_the_classifier(loaded: LoadedModel) -> None:
    rows = make_rows()
    questions = [Question(row["question"], tuple(row["options"])) for row in rows]
    queue = RequestQueue(loaded, Limits(tokens=300))
    decisions = [Decision(), Decision(0.9, multi_label=True)]

    async def scenario() -> None:
        chunks = [questions[start : start + 1 + start % 5] for start in range(0, 96, 3)]
        options = [AnswerOptions(decisions[number % 2]) for number in range(len(chunks))]
        answers = await asyncio.gather(
            *(answer_questions(queue, chunk, how) for chunk, how in zip(chunks, options, strict=True))
        )
        for chunk, how, answer in zip(chunks, options, answers, strict=True):
            for prediction, expected in zip(
                answer.predictions, loaded.classifier.classify(chunk, decision=how.decision), strict=True
            ):
                assert prediction == replace(
                    expected, score=prediction.score, scores=prediction.scores, label_mass=prediction.label_mass,
                    entropy=prediction.entropy,
                )  # fmt: skip
                assert list(prediction.scores.values()) == pytest.approx(list(expected.scores.values()), abs=1e-5)
                assert prediction.label_mass == pytest.approx(expected.label_mass, abs=1e-5)
                assert prediction.entropy == pytest.approx(expected.entropy, abs=1e-5)
            assert answer.usage.tokens == sum(item.tokens for item in loaded.classifier.encode(chunk))
            assert answer.usage.queue_seconds >= 0 and answer.usage.compute_seconds > 0

    run(queue, scenario)


def test_explanations_are_those_of_the_classifier(loaded: LoadedModel) -> None:
    questions = [Question(row["question"]) for row in make_rows()[:2]]
    queue = RequestQueue(loaded)

    async def scenario() -> None:
        answer = await answer_questions(queue, questions, AnswerOptions(explain=True))
        for explanation, question in zip(answer.explanations, questions, strict=True):
            expected = loaded.classifier.explain(question)
            assert [item.text for item in explanation.evidence] == [item.text for item in expected.evidence]
            weights = [item.weight for item in explanation.evidence]
            assert weights == pytest.approx([item.weight for item in expected.evidence], abs=1e-3)
            assert not explanation.sentence

    run(queue, scenario)


def test_sentences_are_written_by_who_is_given() -> None:
    queue = RequestQueue(fake_model())

    async def write(model: LoadedModel, explanation: Explanation) -> str:
        return f"{model.name}: {explanation.question}"

    async def scenario() -> None:
        wished = AnswerOptions(explain=True, sentence=True)
        answer = await answer_questions(queue, [Question("a"), Question("b")], wished, write)
        assert [explanation.sentence for explanation in answer.explanations] == ["fake: a", "fake: b"]
        answer = await answer_questions(queue, [Question("a")], AnswerOptions(explain=True), write)
        assert [explanation.sentence for explanation in answer.explanations] == [""]

    run(queue, scenario)


class SteppedClassifier(FakeClassifier):
    """Computes one batch each time that `free` is set."""

    def __init__(self) -> None:
        super().__init__(blocked=True)

    def score(self, questions: Sequence[Question | str], **options: Any) -> Scored:
        scored = super().score(questions, **options)
        self.free.clear()
        return scored


def test_explanations_delay_a_single_question_by_one_batch() -> None:
    fake = SteppedClassifier()
    # Batches of one masked question, or of four questions of one token.
    queue = RequestQueue(fake_model(fake), Limits(tokens=20, batch_seconds=math.inf))
    long = Question(" ".join("abcdefghijklmnopqrstuvwxyz"))

    async def has_begun(count: int) -> None:
        await until(lambda: len(fake.batches) >= count)

    async def scenario() -> None:
        explaining = AnswerOptions(explain=True)
        explained = [asyncio.ensure_future(answer_questions(queue, [long], explaining)) for _ in range(3)]
        await has_begun(1)
        for number in range(8):
            begun = len(fake.batches)
            single = asyncio.ensure_future(answer_questions(queue, [Question(f"{number}")]))
            await asyncio.sleep(0.01)
            fake.free.set()
            await has_begun(begun + 1)
            assert f"{number}" in fake.batches[begun], "in the batch after the one that was running"
            fake.free.set()
            await single
            await has_begun(begun + 2)
        assert not any(task.done() for task in explained)
        while not all(task.done() for task in explained):
            fake.free.set()
            await asyncio.sleep(0.001)
        assert all(task.result().explanations[0].evidence for task in explained)

    run(queue, scenario)


def test_an_abstention_that_looks_like_a_label_is_refused() -> None:
    abstaining = FakeClassifier()
    abstaining.labels = LabelSet(("abstain", "odd"))
    queue = RequestQueue(fake_model(abstaining))

    async def scenario() -> None:
        with pytest.raises(Refusal, match="Rename it"):
            await answer_questions(queue, [Question("a")], AnswerOptions(Decision(0.5)))
        assert queue.waiting == 0

    run(queue, scenario)
