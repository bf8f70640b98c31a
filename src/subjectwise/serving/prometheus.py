"""Counters for Prometheus. Knows no texts and no requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from subjectwise.records import ABSTAIN, Prediction
from subjectwise.serving.text_embeddings_metrics import TextEmbeddingsMetrics

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The counters of one server, in a registry of its own.

    Attributes:
        tei: those that have the names of text-embeddings-inference.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.tei = TextEmbeddingsMetrics(self.registry)
        self._requests = Counter(
            "subjectwise_requests", "Answered requests.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "subjectwise_request_seconds", "From arrival to answer.", ["route"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._waiting = Gauge("subjectwise_waiting_questions", "Questions that wait.", registry=self.registry)
        self._batch = Histogram(
            "subjectwise_batch_questions", "Questions per batch.", buckets=_SIZES, registry=self.registry
        )
        self._tokens = Counter("subjectwise_tokens", "Tokens read of questions.", registry=self.registry)
        self._labels = Counter("subjectwise_labels", "Answers by label.", ["label"], registry=self.registry)
        self._abstentions = Counter("subjectwise_abstentions", "Answers that abstained.", registry=self.registry)
        self._connections = Gauge("subjectwise_connections", "Open connections.", registry=self.registry)
        self._closed = Counter(
            "subjectwise_connections_closed", "Connections that the server closed.", ["reason"], registry=self.registry
        )
        self._model = Gauge("subjectwise_model", "The model that answers.", ["name", "version"], registry=self.registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, questions: int, tokens: int) -> None:
        """Count a batch."""
        self.tei.batch(questions, tokens)
        self._batch.observe(questions)
        self._tokens.inc(tokens)

    def answers(self, predictions: Sequence[Prediction]) -> None:
        """Count answers by label, and abstentions."""
        for prediction in predictions:
            if prediction.label == ABSTAIN and prediction.best_label:
                self._abstentions.inc()
            else:
                self._labels.labels(prediction.label).inc()

    def watch_queue(self, waiting: Callable[[], float]) -> None:
        """Read the number of waiting questions from `waiting` whenever the counters are asked for."""
        self.tei.watch_queue(waiting)
        self._waiting.set_function(waiting)

    def watch_connections(self, count: Callable[[], float]) -> None:
        """Read the number of open connections from `count` whenever the counters are asked for."""
        self._connections.set_function(count)

    def connection_closed(self, reason: str) -> None:
        """Count a connection that the server closed: `slow` or `limit`."""
        self._closed.labels(reason).inc()

    def model(self, name: str, version: str) -> None:
        """Name the model that answers from now on."""
        self._model.clear()
        self._model.labels(name, version).set(1)

    def text(self) -> bytes:
        """Return all counters in Prometheus's text format."""
        return generate_latest(self.registry)
