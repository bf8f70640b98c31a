"""Processes of one run tell each other what they know; where one fails, all end and one says why."""

from __future__ import annotations

import time
from typing import Any

import pytest

from helpers.processes import run_processes
from subjectwise.errors import DataError
from subjectwise.training.processes import OtherProcessError, Processes, join_processes


def test_a_single_process_talks_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    join_processes.cache_clear()
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes = join_processes("cpu")
    assert (processes.rank, processes.count, processes.is_first) == (0, 1, True)
    assert processes.gather("x") == ["x"] and processes.broadcast("x") == "x"
    assert processes.share([1, 2, 3]) == [1, 2, 3]
    assert processes.together(lambda: 1) == processes.on_first(lambda: 1) == 1

    def fail() -> None:
        raise DataError("no")

    for run in (processes.together, processes.on_first):
        with pytest.raises(DataError, match="no"):
            run(fail)
    with pytest.raises(RuntimeError, match="gloo"), processes.ends_with_the_others():
        raise RuntimeError("gloo said no")


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_the_parts_make_up_the_whole(count: int) -> None:
    items = list(range(10))
    parts = [Processes(rank, count).share(items) for rank in range(count)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_values_are_gathered_and_the_first_ones_is_broadcast() -> None:
    def work(processes: Processes) -> Any:
        return processes.gather(processes.rank * 10), processes.broadcast(f"from {processes.rank}")

    assert run_processes(2, work) == [("returned", ([0, 10], "from 0"))] * 2


@pytest.mark.parametrize("failing", [{0}, {1}, {0, 1}])
def test_an_error_in_any_process_ends_all_and_one_says_why(failing: set[int]) -> None:
    def work(processes: Processes) -> Any:
        def load() -> int:
            if processes.rank in failing:
                raise DataError(f"process {processes.rank} cannot")
            return 1

        return processes.together(load)

    outcomes = run_processes(2, work)
    first = min(failing)
    assert outcomes[first] == ("raised", f"DataError: process {first} cannot")
    assert outcomes[1 - first] == ("ended", 1)


def test_the_others_wait_for_the_first_one_longer_than_for_gradients() -> None:
    def slow() -> str:
        time.sleep(3)  # the group for gradients gives up after 2
        return "calibrated"

    assert run_processes(2, lambda processes: processes.on_first(slow)) == [("returned", "calibrated")] * 2


def test_an_error_in_the_first_ones_work_ends_the_others() -> None:
    def fail() -> None:
        raise DataError("the disk is full")

    outcomes = run_processes(2, lambda processes: processes.on_first(fail))
    assert outcomes == [("raised", "DataError: the disk is full"), ("ended", 1)]


def test_a_process_that_is_killed_ends_the_others() -> None:
    def work(processes: Processes) -> Any:
        if processes.rank == 1:
            return "gone"
        return processes.gather(1)

    outcomes = run_processes(2, work)
    assert outcomes == [("ended", 1), ("returned", "gone")]
    assert issubclass(OtherProcessError, SystemExit)
