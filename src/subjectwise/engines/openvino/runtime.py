"""Compiling, and reading compiled models back without keeping their file in memory. Knows no decoders."""

from __future__ import annotations

import mmap
import os
import platform
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov

from subjectwise.errors import BaseModelError

# How often the pages of a file that is being read back are released, in seconds.
_RELEASE_EVERY = 0.02

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


def compile_to(file: Path, graph: ov.Model) -> None:
    """Compile a graph and write what was compiled to `file`.

    Args:
        file: a new file.
        graph: to compile.

    Raises:
        BaseModelError: OpenVINO cannot compile it.
    """
    try:
        compiled = core().compile_model(graph, "CPU", _settings())
        file.write_bytes(compiled.export_model().getbuffer())
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
        raise BaseModelError(f"OpenVINO cannot run this model ({text}); use --engine pytorch.") from error


class CompiledFile:
    """A compiled model, read back from its file; answers in many threads.

    Args:
        file: as `compile_to` wrote it.

    Raises:
        RuntimeError: the file is damaged, or of another version or processor.
    """

    def __init__(self, file: Path) -> None:
        with file.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        # The compiled model refers to this memory, and copies what it computes with.
        self._content = np.frombuffer(self._map, dtype=np.uint8)
        done = threading.Event()
        releasing = threading.Thread(target=self._release_pages, args=(done,), daemon=True)
        releasing.start()
        try:
            tensor = ov.Tensor(self._content, [len(self._content)], ov.Type.u8)
            self._compiled = core().import_model(tensor, "CPU", _settings())
        finally:
            done.set()
            releasing.join()
        self._own = threading.local()

    def __call__(self, inputs: Mapping[str, npt.NDArray[np.generic]]) -> Sequence[npt.NDArray[np.generic]]:
        """Return the outputs, in their order; they are overwritten by the next call of the same thread."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        outputs = self._own.request.infer(dict(inputs), share_inputs=True, share_outputs=True)
        return [outputs[index] for index in range(len(self._compiled.outputs))]

    def _release_pages(self, done: threading.Event) -> None:
        """Give back pages of the file that were copied, so that no model is in memory twice; they can be read again."""
        while hasattr(mmap, "MADV_DONTNEED"):
            finished = done.wait(_RELEASE_EVERY)
            self._map.madvise(mmap.MADV_DONTNEED)
            if finished:
                return


def _settings() -> dict[str, object]:
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": thread_count(),
    }


def thread_count() -> int:
    """Return how many threads compute: `OMP_NUM_THREADS`, as for other libraries, else one per usable processor."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given):
        return int(given)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return usable or 1
