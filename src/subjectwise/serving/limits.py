"""Limits of the request queue and of the connections."""

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


@dataclass(frozen=True)
class ConnectionLimits:
    """How many connections there may be, and how long one may take to say what it wants.

    Attributes:
        most: connections; beyond it the one that has been idle longest is closed.
        header_seconds: from the connection, or the first byte of a request, to the end of the request's headers.
        body_seconds: between two parts of a body.
        keep_alive_seconds: between two requests. Longer than clients keep their idle connections, so that none is
            closed while a request is on its way.
        closing_seconds: until a client has read its answer, once the server stops.
    """

    most: int = 512
    header_seconds: float = 10.0
    body_seconds: float = 5.0
    keep_alive_seconds: float = 75.0
    closing_seconds: float = 5.0
