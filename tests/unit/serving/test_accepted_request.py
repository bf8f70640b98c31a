from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from helpers.serving import FakeClassifier, fake_model
from subjectwise.records import Question, Scored
from subjectwise.serving.accepted_request import AcceptedRequest, Job
from subjectwise.serving.batch_pace import QUESTION_COST
from subjectwise.serving.error_responses import Failed


async def never(request: AcceptedRequest, questions: Sequence[Question]) -> Scored:
    raise AssertionError


def job_of(*texts: str, fake: FakeClassifier | None = None) -> Job:
    questions = [Question(text) for text in texts]
    request = AcceptedRequest(fake_model(fake), questions, 0, never)
    loop = asyncio.get_running_loop()
    return Job(request, questions, loop, loop.create_future())


def part(*shares: float, mass: bool = True) -> Scored:
    return Scored(np.array([[share, 1 - share] for share in shares]), np.array(shares) if mass else None)


@pytest.mark.parametrize("mass", [True, False])
def test_a_job_is_complete_with_its_last_part(mass: bool) -> None:
    async def scenario() -> Scored:
        job = job_of("a", "b", "c")
        job.add(part(0.1, 0.2, mass=mass))
        await asyncio.sleep(0)
        assert not job.future.done()
        job.add(part(0.3, mass=mass))
        return await job.future

    result = asyncio.run(scenario())
    assert result.probabilities[:, 0].tolist() == [0.1, 0.2, 0.3]
    assert (None if result.label_mass is None else result.label_mass.tolist()) == ([0.1, 0.2, 0.3] if mass else None)


def test_a_job_that_failed_stays_so() -> None:
    async def scenario() -> None:
        job = job_of("a", "b")
        job.take(1)
        assert job.ready
        job.fail(Failed("once"))
        job.add(part(0.1, 0.2))
        job.fail(Failed("twice"))
        assert not job.ready
        with pytest.raises(Failed, match="once"):
            await job.future

    asyncio.run(scenario())


def test_a_long_list_is_encoded_bit_by_bit() -> None:
    async def scenario() -> None:
        fake = FakeClassifier()
        short = job_of(*(f"{number}" for number in range(40)), fake=fake)
        short.encode_next()
        assert len(short.encoded) == 16
        long = job_of(*("x" * 15_000 for _ in range(4)), fake=fake)
        long.encode_next()
        assert len(long.encoded) == 2
        long.encode_next()
        assert len(long.encoded) == 4

    asyncio.run(scenario())


def test_what_is_taken_is_counted() -> None:
    async def scenario() -> None:
        job = job_of("a", "b" * 8, "c")
        request = job.request
        assert request.waiting == 3 and request.characters == 10
        assert request.cost_per_question == pytest.approx(10 / 4 / 3 + QUESTION_COST)
        job.encode_next()
        share = job.take(2)
        assert [question.text for question in share.questions] == ["a", "b" * 8]
        assert (share.tokens, share.cost) == (4, 4 + 2 * QUESTION_COST)
        assert (request.waiting, request.cost, request.usage.tokens) == (1, share.cost, 4)
        assert job.ready
        job.take(1)
        assert not job.ready and request.waiting == 0

    asyncio.run(scenario())


def test_a_loop_that_is_closed_waits_for_nothing() -> None:
    async def scenario() -> Job:
        return job_of("a")

    job = asyncio.run(scenario())
    job.add(part(0.1))
    assert not job.future.done()
