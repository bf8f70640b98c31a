"""The page at `/`, its files, and the documentation at `/docs`. Knows one folder."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from subjectwise.serving.api_description import documentation_page

FOLDER = Path(__file__).parents[1] / "page"

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#345"/>'
    '<path d="M3 4h10M3 8h7M3 12h4" stroke="#fff" stroke-width="2"/></svg>'
)

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Return the description of the contracts as a page."""
    return HTMLResponse(documentation_page(request.app.openapi()))


@router.get("/")
async def index() -> Response:
    """Return the page; without it, the way to the documentation."""
    page = FOLDER / "index.html"
    return FileResponse(page) if page.is_file() else RedirectResponse("docs")


@router.get("/favicon.ico")
async def favicon() -> Response:
    """Return the icon of the page."""
    return Response(_ICON, media_type="image/svg+xml")


def add_page(app: FastAPI) -> None:
    """Add the page, and its files under `/page/`, compressed."""
    app.include_router(router)
    if FOLDER.is_dir():
        app.mount("/page", GZipMiddleware(StaticFiles(directory=FOLDER)), name="page")
