"""The processes of one training run, as `accelerate launch` or torchrun starts them; usually there is one.

What they tell each other goes through a group of its own that waits as long as it takes: the group that averages
gradients gives up after minutes, and validation or calibration may take hours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

_T = TypeVar("_T")

_PATIENCE = timedelta(days=30)


class OtherProcessError(SystemExit):
    """Another process of the run failed and says why; this one ends without a word."""

    def __init__(self) -> None:
        super().__init__(1)


@dataclass(frozen=True)
class Processes:
    """The processes of this run.

    Attributes:
        rank: the number of this process, from 0.
        count: how many there are.
        group: through which they exchange objects; None for a single process.
    """

    rank: int = 0
    count: int = 1
    group: ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """Return this process's part of `items`; the parts of all processes make up the whole."""
        return items[self.rank :: self.count]

    def gather(self, value: _T) -> list[_T]:
        """Return the value of every process, in the order of their ranks."""
        if self.count == 1:
            return [value]
        import torch.distributed

        values: list[Any] = [None] * self.count
        with self.ends_with_the_others():
            torch.distributed.all_gather_object(values, value, group=self.group)
        return values

    def broadcast(self, value: _T) -> _T:
        """Return the value of the first process."""
        if self.count == 1:
            return value
        import torch.distributed

        values: list[Any] = [value]
        with self.ends_with_the_others():
            torch.distributed.broadcast_object_list(values, src=0, group=self.group)
        first: _T = values[0]
        return first

    def together(self, work: Callable[[], _T]) -> _T:
        """Run `work`, which waits for no other process, in each of them.

        Raises:
            Exception: what `work` raised, in the first process where it did.
            OtherProcessError: in all others, where it raised in any.
        """
        error: Exception | None = None
        try:
            result = work()
        except Exception as caught:
            error = caught
        failed = self.gather(error is not None)
        if any(failed):
            if error is not None and failed.index(True) == self.rank:
                raise error
            raise OtherProcessError
        return result

    def on_first(self, work: Callable[[], _T]) -> _T:
        """Run `work` in the first process alone, however long it takes; return its result in all.

        Raises:
            Exception: what `work` raised, in the first process.
            OtherProcessError: in all others, where it raised.
        """
        result: Any = None
        if self.is_first:
            try:
                result = work()
            except BaseException:
                self.broadcast((False, None))
                raise
        done, result = self.broadcast((True, result))
        if not done:
            raise OtherProcessError
        return result  # type: ignore[no-any-return]

    @contextmanager
    def ends_with_the_others(self) -> Iterator[None]:
        """Turn a connection that broke since another process has ended into OtherProcessError."""
        try:
            yield
        except RuntimeError as error:
            if self.count > 1 and _is_connection_error(error):
                raise OtherProcessError from error
            raise


def _is_connection_error(error: RuntimeError) -> bool:
    import torch.distributed

    # Gloo raises plain RuntimeError with the file of its source in front.
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower()


@cache
def join_processes(device: str = "auto") -> Processes:
    """Join the processes that were started together with this one.

    Args:
        device: of the training, as `choose_device` takes it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes()
    import torch
    from accelerate import PartialState

    on_cpu = device == "cpu" or (device == "auto" and not torch.accelerator.is_available())
    state = PartialState(cpu=on_cpu)
    group = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)
    return Processes(state.process_index, state.num_processes, group)
