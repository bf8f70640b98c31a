from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from subjectwise.serving.text_embeddings_metrics import TextEmbeddingsMetrics


def test_counters_have_no_suffix() -> None:
    registry = CollectorRegistry()
    metrics = TextEmbeddingsMetrics(registry)
    assert "te_request_count{" not in generate_latest(registry).decode()
    metrics.begin(single=True)
    metrics.begin(single=False)
    metrics.begin(single=False)
    metrics.succeed(single=False, tokens=30, seconds=0.3, encoding=0.001, queue=0.04, inference=0.2)
    metrics.fail("tokenizer")
    metrics.batch(3, 30)
    metrics.watch_queue(lambda: 7)
    text = generate_latest(registry).decode()
    for line in (
        "# TYPE te_request_count untyped",
        'te_request_count{method="batch"} 2.0',
        'te_request_count{method="single"} 1.0',
        'te_request_success{method="batch"} 1.0',
        'te_request_failure{err="tokenizer"} 1.0',
        'te_request_duration_bucket{le="0.5"} 1.0',
        'te_request_queue_duration_bucket{le="0.05"} 1.0',
        "te_request_input_length_sum 30.0",
        'te_batch_next_size_bucket{le="4.0"} 1.0',
        "te_queue_size 7.0",
    ):
        assert line in text, line
