"""The queue: the scores of the classifier, and who comes when, is refused, dropped or too late."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from helpers.serving import POISON, FakeClassifier, fake_model
from helpers.tiny_models import make_rows
from subjectwise.records import Question, Scored, as_question
from subjectwise.serving import request_queue
from subjectwise.serving.error_responses import Failed, Overloaded, Refusal, Stopping, TooLate
from subjectwise.serving.limits import Limits
from subjectwise.serving.loaded_model import LoadedModel
from subjectwise.serving.request_queue import RequestQueue

# A question of one token costs 5.
ONE = 5


def limits(questions: float = 1000, **changes: float) -> Limits:
    """Limits whose batches have that many questions of one token, however long one took."""
    return Limits(tokens=int(questions * ONE), batch_seconds=math.inf, **changes)  # type: ignore[arg-type]


def run(queue: RequestQueue, scenario: Callable[[], Awaitable[None]]) -> None:
    """Run `scenario` with the model thread at work, and close the queue after it."""

    async def whole() -> None:
        queue.start()
        try:
            await asyncio.wait_for(scenario(), 20)
        finally:
            await queue.close()

    asyncio.run(whole())
    assert not queue.alive and queue.waiting == 0


async def scored(queue: RequestQueue, questions: list[Question]) -> tuple[Scored, LoadedModel]:
    async with queue.accept(questions) as request:
        return await request.score(questions), request.model


def ask(queue: RequestQueue, *texts: str) -> asyncio.Task[tuple[Scored, LoadedModel]]:
    return asyncio.ensure_future(scored(queue, [Question(text) for text in texts]))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("the condition never held")


async def first_batch(queue: RequestQueue, fake: FakeClassifier) -> asyncio.Task[tuple[Scored, LoadedModel]]:
    """Keep the model thread busy with a blocked batch."""
    before = len(fake.batches)
    task = ask(queue, "0")
    await until(lambda: len(fake.batches) > before)
    return task


def test_scores_are_those_of_the_classifier(loaded: LoadedModel) -> None:
    questions = [Question(row["question"], tuple(row["options"])) for row in make_rows()]
    queue = RequestQueue(loaded, Limits(tokens=300))

    async def scenario() -> None:
        chunks = [questions[start : start + 1 + start % 5] for start in range(0, 96, 3)]
        results = await asyncio.gather(*(scored(queue, chunk) for chunk in chunks))
        for chunk, (result, _) in zip(chunks, results, strict=True):
            expected = loaded.classifier.score(chunk)
            assert expected.label_mass is not None and result.label_mass is not None
            np.testing.assert_allclose(result.probabilities, expected.probabilities, atol=1e-5)
            np.testing.assert_allclose(result.label_mass, expected.label_mass, atol=1e-5)

    run(queue, scenario)


def test_a_question_is_encoded_once() -> None:
    fake = FakeClassifier()
    queue = RequestQueue(fake_model(fake), limits(2))

    async def scenario() -> None:
        await ask(queue, *"abcde")
        assert sorted(fake.encoded) == list("abcde")

    run(queue, scenario)


def test_single_questions_come_before_the_rest_of_a_list() -> None:
    fake = FakeClassifier(blocked=True)
    sizes: list[tuple[int, int]] = []
    queue = RequestQueue(fake_model(fake), limits(4), on_batch=lambda count, tokens: sizes.append((count, tokens)))

    async def scenario() -> None:
        first = await first_batch(queue, fake)
        many = ask(queue, *"abcdefg")
        one = ask(queue, "1")
        await until(lambda: queue.waiting == 8)
        fake.free.set()
        result, _ = await many
        await asyncio.gather(first, one)
        assert fake.batches[1] == ["1", "a", "b", "c"]
        assert fake.batches[2] == ["d", "e", "f", "g"]
        assert len(result.probabilities) == 7

    run(queue, scenario)
    assert sizes == [(1, 1), (4, 4), (4, 4)]


def test_lists_take_turns_and_the_oldest_request_goes_on() -> None:
    fake = FakeClassifier(blocked=True)
    queue = RequestQueue(fake_model(fake), limits(8))

    async def scenario() -> None:
        first = await first_batch(queue, fake)
        lists = [ask(queue, *(f"{name}{number}" for number in range(10))) for name in "ab"]
        singles = [ask(queue, f"{number}") for number in range(12)]
        await until(lambda: queue.waiting == 32)
        fake.free.set()
        await asyncio.gather(first, *lists, *singles)
        # Single questions fill a batch; a quarter more is for the oldest request.
        assert fake.batches[1] == ["0", "1", "2", "3", "4", "5", "6", "7", "a0", "a1"]
        assert fake.batches[2] == ["8", "9", "10", "11", "b0", "b1", "a2", "a3"]
        assert fake.batches[3] == ["b2", "b3", "b4", "b5", "b6", "b7", "a4", "a5"]
        assert fake.batches[4] == ["a6", "a7", "a8", "a9", "b8", "b9"]

    run(queue, scenario)


def test_long_questions_of_the_oldest_request_wait_for_its_credit() -> None:
    fake = FakeClassifier(blocked=True)
    queue = RequestQueue(fake_model(fake), limits(4))

    async def scenario() -> None:
        first = await first_batch(queue, fake)
        long = ask(queue, *("abc"[number] * 40 for number in range(3)))  # 11 tokens, which cost as much as three
        singles = [ask(queue, f"{number}") for number in range(20)]
        await until(lambda: queue.waiting == 23)
        fake.free.set()
        await asyncio.gather(first, long, *singles)
        with_long = [number for number, batch in enumerate(fake.batches) if any(len(text) == 40 for text in batch)]
        assert with_long[:2] == [3, 6], "every third batch while single questions wait"

    run(queue, scenario)


def test_a_question_above_the_budget_is_computed_alone() -> None:
    fake = FakeClassifier(blocked=True)
    queue = RequestQueue(fake_model(fake), limits(2))

    async def scenario() -> None:
        first = await first_batch(queue, fake)
        long = ask(queue, "a" * 400, "b" * 400)
        await until(lambda: queue.waiting == 2)
        fake.free.set()
        await asyncio.gather(first, long)
        assert fake.batches[1:] == [["a" * 400], ["b" * 400]]

    run(queue, scenario)


def test_an_idle_model_starts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_queue, "COALESCING_SECONDS", 3600)
    queue = RequestQueue(fake_model(), limits())

    async def scenario() -> None:
        for _ in range(20):
            await ask(queue, "a")

    run(queue, scenario)


def test_clients_that_were_answered_together_are_batched_again() -> None:
    fake = FakeClassifier(blocked=True)
    queue = RequestQueue(fake_model(fake), limits())

    async def client() -> None:
        for _ in range(5):
            await ask(queue, "a")

    async def scenario() -> None:
        first = await first_batch(queue, fake)
        clients = asyncio.gather(*(client() for _ in range(4)))
        await until(lambda: queue.waiting == 4)
        fake.free.set()
        await asyncio.gather(first, clients)
        assert [len(batch) for batch in fake.batches] == [1, 4, 4, 4, 4, 4]

    run(queue, scenario)


def test_a_full_queue_refuses() -> None:
    fake = FakeClassifier(blocked=True)
    queue = RequestQueue(fake_model(fake), limits(waiting=3, waiting_characters=10))

    async def scenario() -> None:
        first = await first_batch(queue, fake)
        two = ask(queue, "a", "b")
        await until(lambda: queue.waiting == 2)
        with pytest.raises(Overloaded) as refused:
            await ask(queue, "c", "d")
        assert 1 <= int(refused.value.headers["Retry-After"]) <= 60
        with pytest.raises(Overloaded):
            await ask(queue, "long enough")
        last = ask(queue, "e")
        await until(lambda: queue.waiting == 3)
        fake.free.set()
        await asyncio.gather(first, two, last)

    run(queue, scenario)


class TimedClassifier(FakeClassifier):
    """Takes as long as the embedded base on one core, on a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.seconds: list[float] = []

    def score(self, questions: Sequence[Question | str], **options: Any) -> Scored:
        tokens = sum(item.tokens for item in self.encode([as_question(question) for question in questions]))
        self.seconds.append(0.055 + 0.002 * len(questions) + 0.0015 * tokens)
        self.now += self.seconds[-1]
        return super().score(questions, **options)


def test_lists_of_short_questions_delay_a_single_one_by_half_a_second_at_most() -> None:
    timed = TimedClassifier()
    queue = RequestQueue(fake_model(timed), clock=lambda: timed.now)

    async def scenario() -> None:
        await ask(queue, "What is torque?")
        await asyncio.gather(*(ask(queue, *["What is a tort, and who pays for it?"] * 128) for _ in range(4)))
        assert sum(map(len, timed.batches)) == 513
        # A single question waits for the batch that is running, and for its own.
        assert all(one + next_one <= 0.5 for one, next_one in pairwise(timed.seconds))
        assert len(timed.batches) < 80, "and the batches are as large as that allows"

    run(queue, scenario)


def test_retry_after_says_when_the_waiting_questions_will_be_answered() -> None:
    timed = TimedClassifier()
    queue = RequestQueue(fake_model(timed), clock=lambda: timed.now)
    lists = [[f"What is the number {number}?" for number in range(128)] for _ in range(8)]

    async def scenario() -> None:
        await ask(queue, *lists[0])
        timed.free.clear()
        first = await first_batch(queue, timed)
        started = timed.now
        accepted = [ask(queue, *texts) for texts in lists[:4]]
        await until(lambda: queue.waiting == 512)
        with pytest.raises(Overloaded) as refused:
            await ask(queue, *lists[4])
        timed.free.set()
        await asyncio.gather(first, *accepted)
        assert int(refused.value.headers["Retry-After"]) == pytest.approx(timed.now - started, rel=0.25)

    run(queue, scenario)


def test_what_a_request_may_ask_further_counts_as_waiting() -> None:
    fake = FakeClassifier()
    queue = RequestQueue(fake_model(fake), limits(waiting=4))
    questions = [Question("a")]

    async def scenario() -> None:
        async with queue.accept(questions, further=3) as request:
            assert queue.waiting == 4
            await request.score(questions)
            assert queue.waiting == 3
            with pytest.raises(Overloaded):
                await ask(queue, "b", "c")
            await request.score(questions * 2)
            assert queue.waiting == 1
            await ask(queue, "b", "c")
        assert queue.waiting == 0

    run(queue, scenario)


def test_what_nobody_waits_for_is_not_computed() -> None:
    fake = FakeClassifier(blocked=True)
    queue = RequestQueue(fake_model(fake), limits(deadline=0.3))

    async def scenario() -> None:
        first = await first_batch(queue, fake)
        late, cancelled = ask(queue, "late"), ask(queue, "cancelled")
        await until(lambda: queue.waiting == 2)
        cancelled.cancel()
        await until(lambda: queue.waiting == 1)
        for task in (first, late):
            with pytest.raises(TooLate):
                await task
        assert queue.waiting == 0
        fake.free.set()
        await ask(queue, "next")
        assert fake.batches == [["0"], ["next"]]

    run(queue, scenario)


def test_one_question_fails_no_other_request() -> None:
    fake = FakeClassifier(blocked=True)
    queue = RequestQueue(fake_model(fake), limits())

    async def scenario() -> None:
        first = await first_batch(queue, fake)
        good, bad = [ask(queue, text, "b") for text in "acegi"], ask(queue, "c", POISON)
        await until(lambda: queue.waiting == 12)
        fake.free.set()
        await first
        for task in good:
            result, _ = await task
            assert result.probabilities.shape == (2, 2)
        with pytest.raises(Failed) as failed:
            await bad
        assert "secret" not in str(failed.value)

    run(queue, scenario)


def test_a_question_that_cannot_be_encoded_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeClassifier()
    encode = fake.encode

    def checked(questions: list[Question]) -> object:
        if any(question.text == "odd" for question in questions):
            raise ValueError("secret")
        return encode(questions)

    monkeypatch.setattr(fake, "encode", checked)
    queue = RequestQueue(fake_model(fake), limits())

    async def scenario() -> None:
        with pytest.raises(Failed):
            await ask(queue, "odd")
        await ask(queue, "even")

    run(queue, scenario)


def test_a_fault_in_the_model_thread_answers_who_waits_and_the_thread_lives_on() -> None:
    fake = FakeClassifier(blocked=True)
    faults: list[Exception | None] = [None, RuntimeError("secret"), None]

    def on_batch(count: int, tokens: int) -> None:
        if fault := faults.pop(0):
            raise fault

    queue = RequestQueue(fake_model(fake), limits(2, deadline=3600), on_batch)

    async def scenario() -> None:
        first = await first_batch(queue, fake)
        waiting = [ask(queue, "a"), ask(queue, "b", "c", "d")]
        await until(lambda: queue.waiting == 4)
        fake.free.set()
        await first
        for task in waiting:
            with pytest.raises(Failed) as failed:
                await task
            assert "secret" not in str(failed.value)
        assert queue.alive and queue.waiting == 0
        await ask(queue, "e")
        assert fake.batches == [["0"], ["e"]]

    run(queue, scenario)


def test_a_model_is_exchanged_between_requests() -> None:
    old, new = FakeClassifier(0.75, blocked=True), FakeClassifier(0.6)
    queue = RequestQueue(fake_model(old), limits(2))

    async def scenario() -> None:
        accepted = ask(queue, "a", "b", "c", "d")
        await until(lambda: bool(old.batches))
        waiting = ask(queue, "e")
        await until(lambda: queue.waiting == 3)
        queue.exchange(fake_model(new))
        late = ask(queue, "f")
        await until(lambda: queue.waiting == 4)
        old.free.set()
        result, model = await accepted
        assert model.version == "0.750.750.75"
        assert set(result.probabilities[:, 0]) == {0.75}, "all of one request by one model"
        assert (await waiting)[1].version == "0.750.750.75"
        assert (await late)[1].version == "0.60.60.60.6"

    run(queue, scenario)


def test_closing_answers_what_was_accepted() -> None:
    fake = FakeClassifier(blocked=True)
    queue = RequestQueue(fake_model(fake), limits())

    async def scenario() -> None:
        tasks = [ask(queue, f"{number}", "x") for number in range(20)]
        await until(lambda: bool(fake.batches))
        closing = asyncio.ensure_future(queue.close())
        await until(lambda: not closing.done())
        with pytest.raises(Stopping):
            await ask(queue, "too late")
        fake.free.set()
        assert all(len(result.probabilities) == 2 for result, _ in await asyncio.gather(*tasks))
        await closing

    run(queue, scenario)


def test_closing_waits_for_what_an_accepted_request_asks_further() -> None:
    queue = RequestQueue(fake_model(), limits())
    questions = [Question("a")]

    async def scenario() -> None:
        async with queue.accept(questions, further=1) as request:
            await request.score(questions)
            closing = asyncio.ensure_future(queue.close())
            await asyncio.sleep(0.02)
            assert len((await request.score(questions)).probabilities) == 1
        await closing

    run(queue, scenario)


def test_a_refusal_is_a_sentence_of_ours_only() -> None:
    queue = RequestQueue(fake_model(), limits())

    async def scenario() -> None:
        with pytest.raises(Refusal, match="failed at this question"):
            await ask(queue, POISON)

    run(queue, scenario)
