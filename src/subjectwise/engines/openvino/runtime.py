"""Compiling, and reading compiled models back without keeping their file in memory. Knows no decoders."""

from __future__ import annotations

import mmap
import os
import platform
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt

from subjectwise.errors import BaseModelError
from subjectwise.utils.openvino_import import openvino as ov

# What is computed in.
FLOAT32, BFLOAT16 = "float32", "bfloat16"

# Passes after which pages of the file are given back: the first copies the weights, arranged for the processor. Later
# ones read some of them again and again.
_FIRST_PASSES = 2

# How often the pages of a file that is being read back are released, in seconds.
_RELEASE_EVERY = 0.005

_core: ov.Core | None = None


def core() -> ov.Core:
    """Return OpenVINO's core: one per process."""
    global _core
    if _core is None:
        _core = ov.Core()
    return _core


def machine() -> dict[str, str]:
    """Return what a compiled model depends on beside its graph: OpenVINO's version and the processor."""
    return {
        "openvino": str(ov.__version__),
        "processor": f"{platform.machine()} {core().get_property('CPU', 'FULL_DEVICE_NAME')}",
        "capabilities": " ".join(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
    }


def choose_precision(dtype: str) -> str:
    """Return what is computed in: bfloat16 where the processor does and nothing else is asked for, else float32."""
    able = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return BFLOAT16 if able and dtype in ("auto", BFLOAT16) else FLOAT32


def compile_to(file: Path, graph: ov.Model, precision: str) -> None:
    """Compile a graph and write what was compiled to `file`.

    Args:
        file: a new file.
        graph: to compile.
        precision: `FLOAT32` or `BFLOAT16`, to compute in.

    Raises:
        BaseModelError: OpenVINO cannot compile it.
    """
    try:
        compiled = core().compile_model(graph, "CPU", _settings(precision))
        file.write_bytes(compiled.export_model().getbuffer())
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
        raise BaseModelError(f"OpenVINO cannot run this model ({text}); use --engine pytorch.") from error


class CompiledFile:
    """A compiled model, read back from its file; answers in many threads.

    Args:
        file: as `compile_to` wrote it.
        precision: as `compile_to` was given it.

    Raises:
        RuntimeError: the file is damaged, or of another version or processor.
    """

    def __init__(self, file: Path, precision: str) -> None:
        with file.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        # The compiled model refers to this memory, and copies what it computes with.
        self._content = np.frombuffer(self._map, dtype=np.uint8)
        tensor = ov.Tensor(self._content, [len(self._content)], ov.Type.u8)
        with self._releasing_pages():
            self._compiled = core().import_model(tensor, "CPU", _settings(precision))
        self._own = threading.local()
        self._passes = 0

    def __call__(self, inputs: Mapping[str, npt.NDArray[np.generic]]) -> Sequence[npt.NDArray[np.generic]]:
        """Return the outputs, in their order; they are overwritten by the next call of the same thread."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        self._passes += 1
        with self._releasing_pages() if self._passes <= _FIRST_PASSES else nullcontext():
            outputs = self._own.request.infer(dict(inputs), share_inputs=True, share_outputs=True)
        return [outputs[index] for index in range(len(self._compiled.outputs))]

    @contextmanager
    def _releasing_pages(self) -> Iterator[None]:
        """Give back pages of the file that were copied, so that no model is in memory twice; they can be read again."""
        done = threading.Event()

        def release() -> None:
            finished = not hasattr(mmap, "MADV_DONTNEED")
            while not finished:
                finished = done.wait(_RELEASE_EVERY)
                self._map.madvise(mmap.MADV_DONTNEED)

        releasing = threading.Thread(target=release, daemon=True)
        releasing.start()
        try:
            yield
        finally:
            done.set()
            releasing.join()


def _settings(precision: str) -> dict[str, object]:
    return {
        "INFERENCE_PRECISION_HINT": {FLOAT32: "f32", BFLOAT16: "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
        # Else every process of one thread would compute on the same processor as all others.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_NUM_THREADS": thread_count(),
    }


def thread_count() -> int:
    """Return how many threads compute: `OMP_NUM_THREADS`, as for other libraries, else one per usable processor."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given):
        return int(given)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return usable or 1
