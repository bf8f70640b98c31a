"""`POST /classify`: the contract of LLM routers, one text and the scores of all labels."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from subjectwise.serving.inference_service import service_of
from subjectwise.serving.request_questions import QuestionText
from subjectwise.serving.routes.documented_errors import ASKING, refusals
from subjectwise.serving.schemas import ClassifyRequest, LabelScore, label_scores

router = APIRouter(tags=["LLM routers"])


@router.post("/classify", responses=refusals(*ASKING), response_model=list[LabelScore], summary="Score all labels")
async def classify(request: Request, body: ClassifyRequest) -> JSONResponse:
    """Return all labels with their calibrated probabilities, best first; they sum to 1."""
    service = service_of(request)
    answer = await service.answer(request, service.read([QuestionText(body.inputs)]))
    return JSONResponse(label_scores(answer.predictions[0]))
