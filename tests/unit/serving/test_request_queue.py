"""The batcher: the same answers as without it, and what waits, is refused, dropped or too late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from helpers.serving import Explaining, Fake, serve_fake
from helpers.tiny_models import make_rows
from subjectwise.classifier import Classifier
from subjectwise.labels import LabelSet
from subjectwise.records import Question
from subjectwise.serving.answer_batch import Answer, Settings
from subjectwise.serving.error_responses import Failed, Overloaded, Refusal, Stopping, TooLate
from subjectwise.serving.limits import Limits
from subjectwise.serving.loaded_model import load_served
from subjectwise.serving.request_queue import RequestQueue
from subjectwise.statistics.thresholds import Decision


def run(batcher: RequestQueue, scenario: Callable[[], Awaitable[None]]) -> None:
    """Runs `scenario` with the model thread at work, and closes the batcher after it."""

    async def whole() -> None:
        batcher.start()
        try:
            await asyncio.wait_for(scenario(), 20)
        finally:
            await batcher.close()

    asyncio.run(whole())
    assert not batcher.alive and batcher.waiting == 0 and batcher._characters == 0


def ask(batcher: RequestQueue, *texts: str, settings: Settings | None = None) -> asyncio.Task[Answer]:
    return asyncio.ensure_future(batcher.submit([Question(text) for text in texts], settings))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came to that")


def test_answers_are_those_of_the_classifier(tiny_model: Path) -> None:
    served = load_served(str(tiny_model), device="cpu", dtype="float32")
    classifier = cast(Classifier, served.classifier)
    rows = make_rows()
    questions = [Question(row["question"], tuple(row["options"])) for row in rows]
    batcher = RequestQueue(served, Limits(tokens=300))
    kinds = [Settings(), Settings(True), Settings(None, Decision(0.9, multi_label=True))]

    async def scenario() -> None:
        chunks = [questions[place : place + 1 + place % 5] for place in range(0, 96, 3)]
        settings = [kinds[number % 3] for number in range(len(chunks))]
        answers = await asyncio.gather(
            *(batcher.submit(chunk, how) for chunk, how in zip(chunks, settings, strict=True))
        )
        for chunk, how, answer in zip(chunks, settings, answers, strict=True):
            for question, found in zip(chunk, answer.predictions, strict=True):
                expected = classifier.classify(question, with_options=how.with_options, decision=how.decision)
                assert (found.question, found.label, found.labels) == (
                    expected.question, expected.label, expected.labels,
                )  # fmt: skip
                assert found.best_label == expected.best_label
                assert list(found.scores.values()) == pytest.approx(list(expected.scores.values()), abs=1e-5)
                assert found.label_mass == pytest.approx(expected.label_mass, abs=1e-5)

    run(batcher, scenario)


def test_batches_are_filled_by_tokens_and_in_turn() -> None:
    fake = Fake(held=True)
    sizes: list[tuple[int, int]] = []
    batcher = RequestQueue(
        serve_fake(fake), Limits(tokens=6, turn=1), on_batch=lambda count, tokens: sizes.append((count, tokens))
    )

    async def scenario() -> None:
        first = ask(batcher, "0")
        await until(lambda: bool(fake.batches))
        many = ask(batcher, "a", "b", "c", "d", "e", "f", "g")
        one = ask(batcher, "1")
        await until(lambda: batcher.waiting == 8)
        fake.free.set()
        await asyncio.gather(first, many, one)
        assert fake.batches[:2] == [["0"], ["1", "a", "b", "c", "d", "e"]], "the single question is not held up"
        assert [found.question for found in many.result().predictions] == list("abcdefg")

    run(batcher, scenario)
    assert sizes == [(1, 1), (6, 6), (2, 2)]


def test_short_questions_share_a_turn_and_none_is_too_long() -> None:
    fake = Fake(held=True)
    batcher = RequestQueue(serve_fake(fake), Limits(tokens=12, turn=4))

    async def scenario() -> None:
        first = ask(batcher, "0")
        await until(lambda: bool(fake.batches))
        long = ask(batcher, "a" * 16, "b" * 16, "c" * 400)  # 5, 5 and 101 tokens
        short = ask(batcher, "1", "2", "3", "4")
        await until(lambda: batcher.waiting == 7)
        fake.free.set()
        await asyncio.gather(first, long, short)
        assert fake.batches[1:] == [["1", "2", "3", "4", "a" * 16], ["b" * 16], ["c" * 400]]

    run(batcher, scenario)


def test_short_requests_and_long_ones_both_go_on() -> None:
    fake = Fake(held=True)
    batcher = RequestQueue(serve_fake(fake), Limits(tokens=8, turn=2))

    async def scenario() -> None:
        first = ask(batcher, "0")
        await until(lambda: bool(fake.batches))
        long = [ask(batcher, *(f"{name}{number}" for number in range(10))) for name in "abcd"]
        short = [ask(batcher, f"{number}") for number in range(12)]
        await until(lambda: batcher.waiting == 52)
        fake.free.set()
        await asyncio.gather(first, *long, *short)
        assert fake.batches[1] == ["0", "1", "2", "3", "4", "5", "a0", "a1"], "a quarter is for long requests"
        assert fake.batches[2] == ["6", "7", "8", "9", "10", "11", "b0", "b1"]
        assert fake.batches[3] == ["c0", "c1", "d0", "d1", "a2", "a3", "b2", "b3"]

    run(batcher, scenario)


def test_an_idle_model_starts_at_once() -> None:
    batcher = RequestQueue(serve_fake(Fake()))

    async def scenario() -> None:
        started = time.perf_counter()
        for _ in range(20):
            await ask(batcher, "a")
        assert time.perf_counter() - started < 0.5, "a few hundredths of a second on an idle machine"

    run(batcher, scenario)


def test_a_full_queue_refuses() -> None:
    fake = Fake(held=True)
    batcher = RequestQueue(serve_fake(fake), Limits(waiting=3, waiting_characters=10))

    async def scenario() -> None:
        first = ask(batcher, "0")
        await until(lambda: bool(fake.batches))
        two = ask(batcher, "a", "b")
        await until(lambda: batcher.waiting == 2)
        with pytest.raises(Overloaded) as refused:
            await ask(batcher, "c", "d")
        assert 1 <= int(refused.value.headers["Retry-After"]) <= 60
        with pytest.raises(Overloaded):
            await ask(batcher, "long enough")
        last = ask(batcher, "e")
        await until(lambda: batcher.waiting == 3)
        fake.free.set()
        await asyncio.gather(first, two, last)

    run(batcher, scenario)


def test_what_nobody_waits_for_is_not_computed() -> None:
    fake = Fake(held=True)
    batcher = RequestQueue(serve_fake(fake), Limits(deadline=0.3))

    async def scenario() -> None:
        first = ask(batcher, "0")
        await until(lambda: bool(fake.batches))
        late, cancelled = ask(batcher, "late"), ask(batcher, "cancelled")
        await until(lambda: batcher.waiting == 2)
        cancelled.cancel()
        await until(lambda: batcher.waiting == 1)
        for task in (first, late):
            with pytest.raises(TooLate):
                await task
        assert batcher.waiting == 0
        fake.free.set()
        await ask(batcher, "next")
        assert fake.batches == [["0"], ["next"]]

    run(batcher, scenario)


def test_one_question_fails_for_no_other() -> None:
    fake = Fake(held=True)
    batcher = RequestQueue(serve_fake(fake))

    async def scenario() -> None:
        first = ask(batcher, "0")
        await until(lambda: bool(fake.batches))
        good, bad = ask(batcher, "a", "b"), ask(batcher, "c", "poison")
        await until(lambda: batcher.waiting == 4)
        fake.free.set()
        await first
        assert len((await good).predictions) == 2
        with pytest.raises(Failed) as failed:
            await bad
        assert "secret" not in str(failed.value)

    run(batcher, scenario)


def test_a_model_is_exchanged_between_requests() -> None:
    old, new = Fake(0.75, held=True), Fake(0.6)
    batcher = RequestQueue(serve_fake(old), Limits(tokens=2))

    async def scenario() -> None:
        begun = ask(batcher, "a", "b", "c", "d")
        await until(lambda: bool(old.batches))
        waiting = ask(batcher, "e")
        await until(lambda: batcher.waiting == 3)
        batcher.exchange(serve_fake(new))
        old.free.set()
        answer = await begun
        assert answer.served.version == "0.750.750.75"
        assert {found.score for found in answer.predictions} == {0.75}, "all of one request by one model"
        assert (await waiting).served.version == "0.60.60.60.6"

    run(batcher, scenario)


def test_closing_answers_what_was_accepted() -> None:
    fake = Fake(held=True)
    batcher = RequestQueue(serve_fake(fake))

    async def scenario() -> None:
        tasks = [ask(batcher, f"{number}", "x") for number in range(20)]
        await until(lambda: bool(fake.batches))
        closing = asyncio.ensure_future(batcher.close())
        await asyncio.sleep(0.01)
        with pytest.raises(Stopping):
            await ask(batcher, "too late")
        fake.free.set()
        assert all(len(answer.predictions) == 2 for answer in await asyncio.gather(*tasks))
        await closing

    run(batcher, scenario)


def test_explanations_come_from_the_classifier() -> None:
    batcher = RequestQueue(serve_fake(Explaining()))

    async def scenario() -> None:
        answer = await ask(batcher, "a", "b", settings=Settings(explain=True))
        assert answer.explanations == [{"about": "a"}, {"about": "b"}]
        with pytest.raises(Refusal, match="rename it"):
            abstaining = Fake()
            abstaining.labels = LabelSet(("abstain", "odd"))
            batcher.exchange(serve_fake(abstaining))
            await ask(batcher, "a", settings=Settings(decision=Decision(0.5)))

    run(batcher, scenario)
