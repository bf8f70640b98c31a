"""`/predict`, `/info`, `/health` and `/metrics`, as text-embeddings-inference has them."""

from __future__ import annotations

import math
from importlib.metadata import version

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from subjectwise.records import Prediction
from subjectwise.serving.error_responses import Stopping
from subjectwise.serving.inference_service import service_of
from subjectwise.serving.request_questions import QuestionText
from subjectwise.serving.routes.documented_errors import ASKING, refusals
from subjectwise.serving.schemas import Info, LabelScore, PredictRequest, label_scores
from subjectwise.types import JsonObject

router = APIRouter(tags=["text-embeddings-inference"])


@router.post(
    "/predict",
    responses=refusals(*(424 if status == 500 else status for status in ASKING)),
    response_model=list[LabelScore] | list[list[LabelScore]],
    summary="Score all labels of one text or many",
)
async def predict(request: Request, body: PredictRequest) -> JSONResponse:
    """Return a list of labels for a text, a list of such lists for a list of texts."""
    service = service_of(request)
    single = isinstance(body.inputs, str)
    texts = [body.inputs] if isinstance(body.inputs, str) else [text for (text,) in body.inputs]
    answer = await service.answer(request, service.read([QuestionText(text) for text in texts]))
    scores = [_scores(prediction, body.raw_scores) for prediction in answer.predictions]
    return JSONResponse(scores[0] if single else scores)


def _scores(prediction: Prediction, raw: bool) -> list[JsonObject]:
    rows = label_scores(prediction)
    # JSON has no infinity.
    return [{**row, "score": math.log(max(row["score"], 1e-300))} for row in rows] if raw else rows


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
async def health(request: Request) -> Response:
    """Return an empty answer while the model answers."""
    service = service_of(request)
    if service.stopping or not service.queue.alive:
        raise Stopping("unhealthy")
    return Response(media_type="text/plain")


@router.get("/metrics", responses=refusals(401), response_class=Response, summary="Counters, for Prometheus")
async def metrics(request: Request) -> Response:
    """Return requests, latency, queue, batches, tokens, labels and abstentions."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)
