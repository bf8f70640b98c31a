"""`POST /classify`: the contract of LLM routers, one text and the scores of all labels."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from subjectwise.serving.routes.documented_errors import ASKING, refusals, scored, service_of
from subjectwise.serving.schemas import ClassifyRequest, Scored

router = APIRouter(tags=["LLM routers"])


@router.post("/classify", responses=refusals(*ASKING), response_model=list[Scored], summary="Score all labels")
async def classify(request: Request, body: ClassifyRequest) -> JSONResponse:
    """All labels with their calibrated probabilities, best first; they sum to 1."""
    service = service_of(request)
    answer = await service.answer(request, service.read([(body.inputs, ())]))
    return JSONResponse(scored(answer.predictions[0]))
