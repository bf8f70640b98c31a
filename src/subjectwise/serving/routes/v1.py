"""`/v1`: many questions with options, thresholds, several labels and explanations; the model; loading it again."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from subjectwise.records import MAX_CHARACTERS, Decision, Question
from subjectwise.serving.accepted_request import count_characters
from subjectwise.serving.answering import AnswerOptions
from subjectwise.serving.error_responses import Refusal, TooLarge, Unauthorised, request_id
from subjectwise.serving.inference_service import service_of
from subjectwise.serving.middleware.request_id import log_fields
from subjectwise.serving.request_questions import QuestionText
from subjectwise.serving.routes.documented_errors import ASKING, refusals
from subjectwise.serving.schemas import (
    ModelFacts,
    ModelName,
    QuestionsRequest,
    RefusedWithId,
    Results,
    label_scores,
)
from subjectwise.serving.settings import ServerSettings

router = APIRouter(prefix="/v1", tags=["subjectwise"])


@router.post(
    "/classify",
    responses=refusals(*ASKING, model=RefusedWithId),
    response_model=Results,
    response_model_exclude_unset=True,
    summary="Classify questions",
)
async def classify(request: Request, body: QuestionsRequest) -> JSONResponse:
    """Return the subject of each question, in their order."""
    service = service_of(request)
    if body.sentence and not body.explain:
        raise Refusal("A sentence comes with an explanation; set explain as well.")
    if body.sentence and not service.model.writes_sentences:
        raise Refusal("This server writes no sentences, since it was started without --sentences; leave out sentence.")
    texts = [
        QuestionText(row) if isinstance(row, str) else QuestionText(row.text, row.options) for row in body.questions
    ]
    questions = service.read(texts, body.with_options)
    if body.explain:
        _check_explained(questions, service.settings)
    options = AnswerOptions(Decision(body.min_confidence, body.multi_label), body.explain, body.sentence)
    answer = await service.answer(request, questions, options)
    results = [
        prediction.to_dict() | {"top": label_scores(prediction, body.top_k)} for prediction in answer.predictions
    ]
    for result, explanation in zip(results, answer.explanations, strict=False):
        result["explanation"] = explanation.to_dict()
    log_fields(request.scope, version=answer.model.version)
    return JSONResponse(
        {
            "model": {"name": answer.model.name, "version": answer.model.version},
            "request_id": request_id(request.scope),
            "results": results,
        }
    )


def _check_explained(questions: Sequence[Question], settings: ServerSettings) -> None:
    if len(questions) > settings.explained:
        raise TooLarge(f"A request with explain may have {settings.explained} questions.")
    characters = sum(map(count_characters, questions))
    if characters > settings.explained_characters:
        raise TooLarge(
            f"The questions have {characters:,} characters; the limit with explain is "
            f"{settings.explained_characters:,}."
        )


@router.get(
    "/model", response_model=ModelFacts, responses=refusals(401, model=RefusedWithId), summary="What model this is"
)
async def model(request: Request) -> JSONResponse:
    """Return name, labels, calibration, what was measured, and the limits of a request."""
    service = service_of(request)
    settings = service.settings
    limits = {
        "questions": settings.most_questions,
        "explained_questions": settings.explained,
        "explained_characters": settings.explained_characters,
        "characters": MAX_CHARACTERS,
        "body_bytes": settings.body_bytes,
        "deadline_seconds": settings.limits.deadline,
    }
    return JSONResponse({**service.model.facts, "limits": limits})


@router.post(
    "/reload", response_model=ModelName, responses=refusals(400, 401, 408, 409, 413, 415, model=RefusedWithId),
    summary="Load the model again",
)  # fmt: skip
async def reload(request: Request) -> JSONResponse:
    """Load the model again, for the next requests. Only where the server has an API key."""
    service = service_of(request)
    if not service.settings.api_keys:
        raise Unauthorised("A server without an API key is not reloaded by request; send it SIGHUP.")
    model = await service.reload()
    return JSONResponse({"name": model.name, "version": model.version})
