"""The workers of a Ray cluster: how to reach it, how many, and the model that each loads. Knows no files."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR

from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.models.devices import AUTO, Compute
from subjectwise.predictors import load_answering_predictor
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.utils.optional_dependencies import require

LOCAL = "local"

# How long an address may take to accept a connection, in seconds.
_PATIENCE = 5.0


@dataclass(frozen=True)
class RayWorkers:
    """How many workers there are, and what each may use; each holds the model once.

    Attributes:
        count: of workers.
        cpus: of each; a fraction is a share of one.
        gpus: of each; a fraction is a share of one.

    Raises:
        DataError: a number is out of range.
    """

    count: int = 1
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.count < 1 or self.cpus < 0 or self.gpus < 0 or not self.cpus + self.gpus:
            raise DataError("--ray-workers needs at least 1, and each worker a part of a CPU or of a GPU.")


@dataclass(frozen=True)
class WorkerModel:
    """What each worker loads.

    Attributes:
        name: of a predictor, as every command takes it; a folder must be there on each machine.
        labels: of `zero-shot:BASE`; None for those of MMLU-Pro.
        base: where the base of a model folder is.
        compute: device, precision and engine.
    """

    name: str = ""
    labels: LabelSet | None = None
    base: str = ""
    compute: Compute = AUTO

    def load(self) -> QuestionClassifier:
        """Load the predictor."""
        return load_answering_predictor(self.name, self.labels, base=self.base, compute=self.compute)


@contextmanager
def ray_cluster(address: str) -> Iterator[None]:
    """Connect to a cluster, or start one on this machine; an existing connection is used and kept.

    Args:
        address: `local`, `auto`, or HOST:PORT or ray://HOST:PORT of a cluster.

    Raises:
        SubjectwiseError: Ray is not installed.
        DataError: the address does not answer.
    """
    ray = require("ray", "ray")
    require("ray.data", "ray")
    if ray.is_initialized():
        yield
        return
    _check_address(address)
    # Ray would report to its makers how it is used.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, include_dashboard=False if address == LOCAL else None, logging_level=ERROR,
                 log_to_driver=False)  # fmt: skip
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise _unreachable(address) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise DataError at once where nothing listens, for which Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        if address not in (LOCAL, "auto"):
            raise DataError(f"Unknown Ray address {address!r}; give local, auto, HOST:PORT or ray://HOST:PORT.")
        return
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        raise _unreachable(address) from error


def _unreachable(address: str) -> DataError:
    return DataError(f"No Ray cluster answers at {address!r}; start one with 'ray start --head', or use --ray local.")
