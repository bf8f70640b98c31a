"""`/predict`, `/info`, `/health`, `/metrics` and the other paths of text-embeddings-inference, as it has them."""

from __future__ import annotations

import asyncio
import math
import time
from importlib.metadata import version

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from subjectwise.records import MAX_CHARACTERS, Prediction
from subjectwise.serving.answering import Answer, AnswerOptions
from subjectwise.serving.error_responses import Refusal, Stopping, Untokenizable
from subjectwise.serving.inference_service import InferenceService, service_of
from subjectwise.serving.request_questions import QuestionText, check_number
from subjectwise.serving.routes.documented_errors import ASKING, refusals
from subjectwise.serving.schemas import Info, LabelScore, PredictRequest, RootRequest, label_scores
from subjectwise.types import JsonObject

router = APIRouter(tags=["text-embeddings-inference"])

_PREDICTS = {
    "responses": refusals(*(424 if status == 500 else status for status in ASKING)),
    "response_model": list[LabelScore] | list[list[LabelScore]],
}


@router.post("/predict", summary="Score all labels of one text or many", **_PREDICTS)  # type: ignore[arg-type]
@router.post("/invocations", summary="The same for SageMaker", **_PREDICTS)  # type: ignore[arg-type]
async def predict(request: Request, body: PredictRequest) -> JSONResponse:
    """Return a list of labels for a text, a list of such lists for a list of texts."""
    rows, headers = await _predict(request, body, body.raw_scores)
    return JSONResponse(rows[0] if body.single else rows, headers=headers)


@router.post("/", summary="The same for InferenceClient", **_PREDICTS)  # type: ignore[arg-type]
async def predict_at_root(request: Request, body: RootRequest) -> JSONResponse:
    """Return what `/predict` does; with `parameters`, as `huggingface_hub` sends them, a list for each text."""
    given = body.parameters
    raw = body.raw_scores or (given is not None and given.function_to_apply == "none")
    rows, headers = await _predict(request, body, raw)
    if given is not None:
        rows = [row[: given.top_k] for row in rows]
    return JSONResponse(rows[0] if body.single and given is None else rows, headers=headers)


async def _predict(request: Request, body: PredictRequest, raw: bool) -> tuple[list[list[JsonObject]], dict[str, str]]:
    """Return the labels of each text, best first, and the headers that say what they cost."""
    service, started = service_of(request), time.perf_counter()
    metrics = service.metrics.tei
    metrics.begin(body.single)
    try:
        check_number(body.texts, service.settings.most_questions)
        texts = [QuestionText(await _cut(service, text, body)) for text in body.texts]
        options = AnswerOptions(whole=body.truncate is False)
        answer = await service.answer(request, service.read(texts), options)
    except Refusal as refusal:
        metrics.fail(refusal.tei_kind or refusal.kind)
        raise
    seconds, usage = time.perf_counter() - started, answer.usage
    metrics.succeed(
        body.single, usage.tokens, seconds, usage.encoding_seconds, usage.queue_seconds, usage.compute_seconds
    )
    characters = sum(map(len, body.texts))
    return [_scores(prediction, raw) for prediction in answer.predictions], _headers(answer, characters, seconds)


async def _cut(service: InferenceService, text: str, body: PredictRequest) -> str:
    """Return a text as it may be read: cut at the end that the client names, else in the middle."""
    if body.truncate is False:
        if len(text) > MAX_CHARACTERS:
            raise Untokenizable(f"A text has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}.")
        return text
    if body.truncation_direction:
        return await asyncio.to_thread(service.model.cut, text, body.truncation_direction.lower() == "left")
    half = MAX_CHARACTERS // 2
    return text if len(text) <= MAX_CHARACTERS else text[:half] + text[-half:]


def _scores(prediction: Prediction, raw: bool) -> list[JsonObject]:
    rows = label_scores(prediction)
    # JSON has no infinity.
    return [{**row, "score": math.log(max(row["score"], 1e-300))} for row in rows] if raw else rows


def _headers(answer: Answer, characters: int, seconds: float) -> dict[str, str]:
    usage = answer.usage
    milliseconds = {
        "x-compute-time": seconds,
        "x-total-time": seconds,
        "x-tokenization-time": usage.encoding_seconds,
        "x-queue-time": usage.queue_seconds,
        "x-inference-time": usage.compute_seconds,
    }
    return {
        "x-compute-type": answer.model.device,
        "x-compute-characters": str(characters),
        "x-compute-tokens": str(usage.tokens),
        **{name: str(int(1000 * value)) for name, value in milliseconds.items()},
    }


@router.get("/info", response_model=Info, responses=refusals(401), summary="What is served")
async def info(request: Request) -> JSONResponse:
    """Return the model and the limits, in the words of text-embeddings-inference."""
    service = service_of(request)
    model, limits = service.model, service.settings.limits
    names = list(model.labels)
    return JSONResponse(
        {
            "model_id": model.name,
            "model_sha": model.version or None,
            "model_dtype": model.dtype,
            "served_model_name": model.name,
            "model_type": {
                "classifier": {
                    "id2label": {str(number): name for number, name in enumerate(names)},
                    "label2id": {name: number for number, name in enumerate(names)},
                }
            },
            "max_concurrent_requests": limits.waiting,
            "max_input_length": model.max_tokens,
            "max_batch_tokens": limits.tokens,
            "max_batch_requests": None,
            "max_client_batch_size": service.settings.most_questions,
            "auto_truncate": True,
            "tokenization_workers": 1,
            "version": version("subjectwise"),
            "sha": None,
            "docker_label": None,
        }
    )


@router.get("/health", responses=refusals(503), response_class=Response, summary="Whether it answers")
@router.get("/ping", responses=refusals(503), response_class=Response, summary="The same for SageMaker")
async def health(request: Request) -> Response:
    """Return an empty answer while the model answers."""
    service = service_of(request)
    if service.stopping or not service.queue.alive:
        raise Stopping("unhealthy")
    return Response(media_type="text/plain")


@router.get("/metrics", response_class=Response, summary="Counters, for Prometheus")
async def metrics(request: Request) -> Response:
    """Return requests, latency, queue, batches, tokens, labels and abstentions."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)
