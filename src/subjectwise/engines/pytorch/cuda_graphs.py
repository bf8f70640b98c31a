"""Work captured once as a CUDA graph and replayed: one launch in place of thousands. Knows no model.

A small model on a GPU waits for Python to launch its kernels. A graph has them all, with their arguments: the work
reads and writes tensors that stay where they are, and must neither wait for the device nor choose by what is on it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Work = Callable[[], None]

# Runs before the capture, in which libraries choose their kernels and take memory that a capture must not take.
_RUNS_BEFORE = 2


class GraphCapture:
    """Captures work; all graphs take their memory from one pool, since no two of them run at the same time.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        self._first: torch.cuda.CUDAGraph | None = None  # whose pool the others share

    def capture(self, work: Work) -> Work:
        """Return what replays `work`; raise RuntimeError where it cannot be captured.

        What one graph computes must be read before another is replayed, which may write over it.
        """
        with torch.cuda.device(self._device):
            self._stream = self._stream or torch.cuda.Stream()  # type: ignore[no-untyped-call]
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                for _ in range(_RUNS_BEFORE):
                    work()
            current.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads, such as one that encodes questions, may go on using the device.
            pool = self._first.pool() if self._first else None
            with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
                work()
            self._first = self._first or graph
        return graph.replay
