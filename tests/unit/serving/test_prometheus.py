from __future__ import annotations

from subjectwise.records import Prediction
from subjectwise.serving.prometheus import Metrics


def test_answers_are_counted_by_label_and_abstentions_apart() -> None:
    metrics = Metrics()
    sure = Prediction("a", "even", 0.9, {"even": 0.9, "odd": 0.1})
    named = Prediction("a", "abstain", 0.9, {"abstain": 0.9, "odd": 0.1})
    unsure = Prediction("a", "abstain", 0.6, {"even": 0.6, "odd": 0.4}, best_label="even")
    metrics.answers([sure, sure, named, unsure])
    text = metrics.text().decode()
    assert 'subjectwise_labels_total{label="even"} 2.0' in text
    assert 'subjectwise_labels_total{label="abstain"} 1.0' in text, "a label of that name"
    assert "subjectwise_abstentions_total 1.0" in text


def test_one_model_is_named_at_a_time_and_the_queue_is_read_when_asked() -> None:
    metrics = Metrics()
    waiting = [3.0]
    metrics.watch_queue(lambda: waiting[0])
    metrics.model("old", "1")
    metrics.model("new", "2")
    metrics.batch(5, 70)
    metrics.request("/classify", 200, 0.2)
    text = metrics.text().decode()
    assert 'subjectwise_model{name="new",version="2"} 1.0' in text and "old" not in text
    assert "subjectwise_waiting_questions 3.0" in text
    assert "subjectwise_batch_questions_sum 5.0" in text and "subjectwise_tokens_total 70.0" in text
    assert 'subjectwise_request_seconds_bucket{le="0.25",route="/classify"} 1.0' in text
    assert "process_resident_memory_bytes" in text
