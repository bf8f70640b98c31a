"""How fast batches are computed, measured as they are. Knows no queue."""

from __future__ import annotations

# What a batch and a question cost besides their tokens, in tokens: with these, the embedded base takes 1.3 to 1.9 ms
# per unit on one core, from one question of 8 tokens to 17 of 384.
BATCH_COST = 32
QUESTION_COST = 4

# Of what was measured before, how much still counts after a batch.
_KEPT = 0.8

# Before the first batch: two slow cores.
_FIRST_SECONDS_PER_COST = 0.001


class BatchPace:
    """Seconds per unit of cost over the last batches, the larger and the later ones counting more."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._cost = 0.0

    def add(self, seconds: float, cost: float) -> None:
        """Note a batch of that cost."""
        self._seconds = _KEPT * self._seconds + seconds
        self._cost = _KEPT * self._cost + cost

    def seconds(self, cost: float) -> float:
        """Return how long something of that cost takes."""
        return cost * (self._seconds / self._cost if self._cost else _FIRST_SECONDS_PER_COST)

    def cost(self, seconds: float) -> float:
        """Return the cost of what takes that long."""
        return seconds / max(self.seconds(1.0), 1e-9)
