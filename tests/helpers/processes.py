"""A few processes of one run, forked from this one and joined by gloo."""

from __future__ import annotations

import multiprocessing
import socket
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch.distributed  # before the fork, so that no process imports it again

from subjectwise.training.processes import Processes


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_processes(count: int, work: Callable[[Processes], Any], seconds: float = 60) -> list[tuple[str, Any]]:
    """Return what `work` returned in each process, or the name and text of what it raised, by rank.

    Each is ("returned", value), ("raised", "Kind: text") or ("ended", exit code).
    """
    context, port = multiprocessing.get_context("fork"), free_port()
    results = context.Queue()
    processes = [context.Process(target=_run, args=(rank, count, port, work, results)) for rank in range(count)]
    for process in processes:
        process.start()
    outcomes: dict[int, tuple[str, Any]] = {}
    for _ in processes:
        rank, kind, value = results.get(timeout=seconds)
        outcomes[rank] = (kind, value)
    for process in processes:
        process.join(seconds)
    return [outcomes[rank] for rank in range(count)]


def _run(rank: int, count: int, port: int, work: Callable[[Processes], Any], results: Any) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=count, timeout=timedelta(seconds=2)
    )
    # The group that is used waits for longer than that.
    group = torch.distributed.new_group(backend="gloo", timeout=timedelta(seconds=60))
    try:
        results.put((rank, "returned", work(Processes(rank, count, group))))
    except SystemExit as stop:
        results.put((rank, "ended", stop.code))
    except BaseException as error:
        traceback.print_exc()
        results.put((rank, "raised", f"{type(error).__name__}: {error}"))
