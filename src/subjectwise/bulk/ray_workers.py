"""The workers of a Ray cluster: how to reach it, how many, and the model that each loads. Knows no files."""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.models.devices import AUTO, Compute
from subjectwise.predictors import (
    default_name,
    load_answering_predictor,
    predictor_files_sha256,
    predictor_reads_options,
)
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.types import JsonObject
from subjectwise.utils.optional_dependencies import require

LOCAL = "local"

_log = logging.getLogger(__name__)

# What reads files and hands out their rows beside the workers, in CPUs as Ray counts them.
_READING_CPUS = 2

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

    def reads_options(self) -> bool:
        """Return whether the model was trained to see answer options, without loading it."""
        return predictor_reads_options(self.name or default_name(self.labels, self.base))

    def identity(self) -> JsonObject:
        """Return what answers of this model depend on; two runs with the same may share a folder of answers."""
        name = self.name or default_name(self.labels, self.base)
        return {
            "model": predictor_files_sha256(name) or name,
            "base": self.base,
            "labels": list(self.labels or ()),
            "dtype": self.compute.dtype,
            "engine": self.compute.engine,
        }


@contextmanager
def ray_cluster(address: str, workers: RayWorkers = RayWorkers()) -> Iterator[None]:
    """Connect to a cluster, or start one on this machine; an existing connection is used and kept.

    A cluster on this machine has room for the workers and for reading beside them, whatever CPUs there are.

    Args:
        address: `local`, `auto`, or HOST:PORT or ray://HOST:PORT of a cluster.
        workers: that it will have.

    Raises:
        SubjectwiseError: Ray is not installed.
        DataError: the address does not answer.
    """
    ray = require("ray", "ray")
    require("ray.data", "ray")
    if ray.is_initialized():
        _warn_of_waiting(workers)
        yield
        return
    _check_address(address)
    cpus = max(os.cpu_count() or 1, math.ceil(workers.count * workers.cpus) + _READING_CPUS)
    local = {"include_dashboard": False, "num_cpus": cpus} if address == LOCAL else {}
    # Ray would report to its makers how it is used.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **local)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise _unreachable(address) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        _warn_of_waiting(workers)
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


def _warn_of_waiting(workers: RayWorkers) -> None:
    """Say where the cluster has too little, so that the run waits until it grows; Ray would wait in silence."""
    has = require("ray", "ray").cluster_resources()
    for kind, each, beside in (("CPU", workers.cpus, 1), ("GPU", workers.gpus, 0)):
        needed = workers.count * each + beside
        if each and has.get(kind, 0) < needed:
            _log.warning(
                "The Ray cluster has %g %ss, and %d workers and reading need %g: the run waits until there are more. "
                "Use fewer --ray-workers, or a smaller --ray-%ss.", has.get(kind, 0), kind, workers.count, needed,
                kind.lower(),
            )  # fmt: skip


def _unreachable(address: str) -> DataError:
    return DataError(f"No Ray cluster answers at {address!r}; start one with 'ray start --head', or use --ray local.")
