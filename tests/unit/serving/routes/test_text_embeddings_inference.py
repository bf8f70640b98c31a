"""The paths of text-embeddings-inference, asked as its clients ask: huggingface_hub's InferenceClient among them."""

from __future__ import annotations

import math
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from helpers.serving import POISON, FakeClassifier, check_refused, serving_fake
from subjectwise.records import Question
from subjectwise.serving.loaded_model import LoadedModel
from subjectwise.serving.settings import ServerSettings

QUESTION = "What is a photon and how does it differ from a lens?"
PATHS = ["/predict", "/", "/invocations"]


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub ask servers of this machine."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("online")
def test_the_inference_client_of_huggingface_hub(client: httpx.Client, loaded: LoadedModel) -> None:
    asking = InferenceClient(str(client.base_url))
    expected = loaded.classifier.classify(QUESTION)
    elements = asking.text_classification(QUESTION)
    assert [element.label for element in elements] == [label for label, _ in expected.top(4)]
    assert [element.score for element in elements] == pytest.approx([score for _, score in expected.top(4)], abs=1e-5)
    [best] = asking.text_classification(QUESTION, top_k=1, function_to_apply="none")
    assert best.label == expected.label and math.exp(best.score) == pytest.approx(expected.score, abs=1e-5)
    with pytest.raises(HfHubHTTPError, match="function_to_apply"):
        asking.text_classification(QUESTION, function_to_apply="sigmoid")


@pytest.mark.usefixtures("online")
def test_the_inference_client_with_a_key() -> None:
    with serving_fake(settings=ServerSettings(api_keys=("a-key-of-some-length",))) as client:
        asking = InferenceClient(str(client.base_url), token="a-key-of-some-length")
        assert [element.label for element in asking.text_classification("a")] == ["even", "odd"]
        with pytest.raises(HfHubHTTPError, match="401"):
            InferenceClient(str(client.base_url), token="another").text_classification("a")


@pytest.mark.parametrize("path", PATHS)
def test_a_text_or_a_list_of_texts(client: httpx.Client, loaded: LoadedModel, path: str) -> None:
    single = client.post(path, json={"inputs": QUESTION}).json()
    assert single[0]["label"] == loaded.classifier.classify(QUESTION).label
    assert client.post(path, json={"inputs": [QUESTION]}).json() == single, "a list with one text is that text"
    assert client.post(path, json={"inputs": [[QUESTION]]}).json() == [single]
    batch = client.post(path, json={"inputs": [[QUESTION], ["What is a tort?"]], "truncate": True}).json()
    assert [row["label"] for row in batch[0]] == [row["label"] for row in single] and len(batch) == 2


def test_raw_scores_are_log_probabilities(client: httpx.Client) -> None:
    single = client.post("/predict", json={"inputs": QUESTION}).json()
    raw = client.post("/predict", json={"inputs": QUESTION, "raw_scores": True, "truncate": None}).json()
    assert [math.exp(row["score"]) for row in raw] == pytest.approx([row["score"] for row in single], abs=1e-5)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("inputs", [["a", "b"], [["a", "b"]], [["a"], "b"], [], [[]], 1, None])
def test_pairs_and_other_forms_are_refused(client: httpx.Client, path: str, inputs: Any) -> None:
    check_refused(client.post(path, json={"inputs": inputs}), 422, "pairs", kind="validation")


@pytest.mark.parametrize("path", PATHS)
def test_errors_have_the_kinds_of_text_embeddings_inference(path: str) -> None:
    with serving_fake() as client:
        check_refused(client.post(path, json={"inputs": " "}), 400, "empty", kind="empty")
        check_refused(client.post(path, json={"inputs": POISON}), 424, kind="backend")
        check_refused(client.post(path, json={"inputs": [["a"]] * 129}), 413, kind="validation")
        long = {"inputs": "x" * 4_000, "truncate": False}
        check_refused(client.post(path, json=long), 422, "let truncate cut it", kind="tokenizer")
        check_refused(client.post(path, json={"inputs": "x" * 60_000, "truncate": False}), 422, kind="tokenizer")
        assert client.post(path, json={"inputs": "x" * 3_999, "truncate": False}).status_code == 200


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        ({"truncate": True}, "a" * 25_000 + "z" * 25_000),
        ({"truncate": None}, "a" * 25_000 + "z" * 25_000),
        ({"truncate": True, "truncation_direction": "Right"}, "a" * 3_999),
        ({"truncation_direction": "Left"}, "z" * 3_999),
        ({"truncation_direction": "left"}, "z" * 3_999),
    ],
)
def test_a_text_that_is_too_long_is_cut_where_the_client_says(changes: dict[str, Any], read: str) -> None:
    fake = FakeClassifier()
    with serving_fake(fake) as client:
        body = {"inputs": "a" * 30_000 + "m" * 10_000 + "z" * 30_000, **changes}
        assert client.post("/predict", json=body).status_code == 200
        assert fake.batches == [[read]]
        refused = client.post("/predict", json={"inputs": "a", "truncation_direction": "up"})
        check_refused(refused, 422, "truncation_direction")


def test_what_cannot_be_read_is_refused_before_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeClassifier()
    with serving_fake(fake) as client:
        direction = {"truncation_direction": "Right"}
        check_refused(client.post("/predict", json={"inputs": "\u0007", **direction}), 400, kind="empty")
        monkeypatch.setattr(LoadedModel, "cut", lambda *_: pytest.fail("cut before it was counted"))
        check_refused(client.post("/predict", json={"inputs": [["a"]] * 129, **direction}), 413)


def test_what_fits_is_not_cut(client: httpx.Client, loaded: LoadedModel) -> None:
    assert loaded.cut(QUESTION, from_left=True) == QUESTION
    long = " ".join([QUESTION] * 200)
    for from_left in (True, False):
        kept = loaded.cut(long, from_left)
        assert (long.endswith if from_left else long.startswith)(kept) and 500 < len(kept) < len(long)
        [encoded] = loaded.classifier.encode([Question(kept)])
        assert not encoded.truncated and encoded.tokens > loaded.max_tokens - 4


def test_headers_say_what_an_answer_cost(client: httpx.Client) -> None:
    headers = client.post("/predict", json={"inputs": [["What is a tort?"], [QUESTION]]}).headers
    assert headers["x-compute-type"] == "cpu" and int(headers["x-compute-characters"]) == len(QUESTION) + 15
    assert int(headers["x-compute-tokens"]) > 10
    for name in ("compute", "total", "tokenization", "queue", "inference"):
        assert 0 <= int(headers[f"x-{name}-time"]) < 60_000
    assert "x-compute-time" not in client.post("/classify", json={"inputs": QUESTION}).headers


def test_metrics_have_the_names_of_text_embeddings_inference() -> None:
    with serving_fake() as client:
        for inputs in ("a", ["a"], [["a"], ["b"]], " ", POISON):
            client.post("/predict", json={"inputs": inputs})
        client.post("/classify", json={"inputs": "a"})
        text = client.get("/metrics").text
    for line in (
        'te_request_count{method="single"} 4.0',
        'te_request_count{method="batch"} 1.0',
        'te_request_success{method="single"} 2.0',
        'te_request_success{method="batch"} 1.0',
        'te_request_failure{err="empty"} 1.0',
        'te_request_failure{err="backend"} 1.0',
        "te_request_duration_count 3.0",
        "te_request_tokenization_duration_count 3.0",
        "te_request_queue_duration_count 3.0",
        "te_request_inference_duration_count 3.0",
        "te_request_input_length_sum 4.0",
        "te_batch_next_size_count 5.0",
        "te_batch_next_tokens_sum 7.0",
        "te_queue_size 0.0",
    ):
        assert line in text, line


def test_info_and_health(client: httpx.Client, loaded: LoadedModel) -> None:
    for path in ("/health", "/ping"):
        assert client.get(path).status_code == 200 and not client.get(path).content
    info = client.get("/info").json()
    assert info["model_type"]["classifier"]["id2label"] == {str(i): name for i, name in enumerate(loaded.labels)}
    assert info["model_sha"] == loaded.version and info["auto_truncate"] is True
    assert info["max_input_length"] == loaded.max_tokens
    assert (info["model_dtype"], info["served_model_name"]) == ("float32", "tiny")
    too_many = [["What is a tort?"]] * (info["max_client_batch_size"] + 1)
    check_refused(client.post("/predict", json={"inputs": too_many}), 413, kind="validation")


def test_health_and_metrics_need_no_key() -> None:
    with serving_fake(settings=ServerSettings(api_keys=("a-key-of-some-length",))) as client:
        for path in ("/health", "/ping", "/metrics"):
            assert client.get(path).status_code == 200
        for path in PATHS:
            check_refused(client.post(path, json={"inputs": "a"}), 401)


def test_a_payload_of_two_megabytes_is_read() -> None:
    with serving_fake() as client:
        texts = [["x" * 15_000]] * 128
        assert client.post("/predict", json={"inputs": texts}).status_code == 200
