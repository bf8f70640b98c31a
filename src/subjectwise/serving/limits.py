"""Limits of the request queue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much may wait, and for how long.

    Attributes:
        waiting: questions; one more is refused.
        waiting_characters: of all waiting questions.
        tokens: of one batch; a second of work on two cores, which is what a newcomer waits for.
        turn: tokens that one request may take before the next one's turn; one question at least. A request that is
            longer, by its characters, is a long one.
        deadline: seconds from a request's arrival to its answer.
    """

    waiting: int = 512
    waiting_characters: int = 4_000_000
    tokens: int = 1024
    turn: int = 256
    deadline: float = 30.0
