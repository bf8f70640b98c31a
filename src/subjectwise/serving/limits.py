"""Limits of the request queue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much may wait, for how long, and how much is computed at once.

    Attributes:
        waiting: most questions in the queue; requests beyond it get 429.
        waiting_characters: most characters of the questions in the queue.
        tokens: most tokens per batch.
        batch_seconds: how long a batch of lists may take, at the pace of the batches before it. A single question
            waits for the batch that is running, and for its own: twice this.
        deadline: seconds from a request's arrival to its answer.
    """

    waiting: int = 512
    waiting_characters: int = 4_000_000
    tokens: int = 1024
    batch_seconds: float = 0.25
    deadline: float = 30.0
