"""Counters with the names of text-embeddings-inference, for dashboards that were made for it. Knows no requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_POWERS = tuple(2**power for power in range(14))


class TextEmbeddingsMetrics(Collector):
    """Counts requests at the paths of text-embeddings-inference, and the batches of all requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, documentation: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, documentation, buckets=buckets, registry=registry)

        self._counts: Counter[tuple[str, str, str]] = Counter()  # name, label, value
        self._duration = histogram("te_request_duration", "Seconds of a request.", _SECONDS)
        self._tokenization = histogram("te_request_tokenization_duration", "Seconds of tokenization.", _SECONDS)
        self._queue = histogram("te_request_queue_duration", "Seconds in the queue.", _SECONDS)
        self._inference = histogram("te_request_inference_duration", "Seconds of inference.", _SECONDS)
        self._length = histogram("te_request_input_length", "Tokens of a request.", _POWERS)
        self._batch_size = histogram("te_batch_next_size", "Questions per batch.", _POWERS)
        self._batch_tokens = histogram("te_batch_next_tokens", "Tokens per batch.", _POWERS)
        self._queue_size = Gauge("te_queue_size", "Questions that wait.", registry=registry)
        registry.register(self)

    def begin(self, single: bool) -> None:
        """Count a request that arrives, of one text or of a list."""
        self._counts["te_request_count", "method", "single" if single else "batch"] += 1

    def succeed(
        self, single: bool, tokens: int, seconds: float, encoding: float, queue: float, inference: float
    ) -> None:
        """Count a request that was answered, its tokens, and the seconds of its parts."""
        self._counts["te_request_success", "method", "single" if single else "batch"] += 1
        self._length.observe(tokens)
        self._duration.observe(seconds)
        self._tokenization.observe(encoding)
        self._queue.observe(queue)
        self._inference.observe(inference)

    def fail(self, kind: str) -> None:
        """Count a request that was refused, by the kind of its error."""
        self._counts["te_request_failure", "err", kind] += 1

    def batch(self, questions: int, tokens: int) -> None:
        """Count a batch."""
        self._batch_size.observe(questions)
        self._batch_tokens.observe(tokens)

    def watch_queue(self, waiting: Callable[[], float]) -> None:
        """Read the number of waiting questions from `waiting` whenever the counters are asked for."""
        self._queue_size.set_function(waiting)

    def collect(self) -> Iterator[Metric]:
        """Yield the counters of requests, whose names do not end with `_total` as prometheus_client's own would."""
        for name in sorted({name for name, _, _ in self._counts}):
            metric = Metric(name, "Requests.", "unknown")
            for (counted, label, value), count in sorted(self._counts.items()):
                if counted == name:
                    metric.add_sample(name, {label: value}, count)
            yield metric
