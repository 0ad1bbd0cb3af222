"""Settings → the FastAPI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI

from api import chat_completions, health, pages, routes, static_files
from api.access import sign_in
from api.access.gate import Doorkeeper, Gate
from api.answering import Answering, Readiness
from api.desk import QuestionDesk
from api.errors import UnknownErrors, add_error_handlers
from api.feedback import FeedbackStore
from api.following import Follower
from api.limits import RequestLimits
from api.logs import RequestLog
from api.mcp import open_mcp_over_http
from api.messages import API_DESCRIPTION
from api.metrics import CountRequests, Metrics
from api.security import SecurityHeaders
from api.slack import open_slack_events
from rag.config import Settings


def create_app(settings: Settings, assistant: Answering | None = None) -> FastAPI:
    """The service over `assistant`; without one it is opened in the background after the start."""
    readiness = Readiness(assistant)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if assistant is None:
            readiness.open_in_background(settings)
        with Follower(settings, readiness):
            async with slack or nullcontext(), mcp or nullcontext():
                yield

    app = FastAPI(
        title="Kotae",
        description=API_DESCRIPTION,
        version=_version(),
        lifespan=lifespan,
        # FastAPI's documentation pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
    )
    metrics = Metrics()
    metrics.watch_snapshot(readiness.built_at)
    app.state.settings = settings
    app.state.readiness = readiness
    app.state.feedback = FeedbackStore(settings.index)
    app.state.metrics = metrics
    app.state.doorkeeper = doorkeeper = Doorkeeper.of(settings)
    app.state.desk = desk = QuestionDesk(settings, metrics)
    app.state.slack = slack = open_slack_events(settings, readiness, app.state.feedback, metrics)
    mcp = open_mcp_over_http(settings, readiness, metrics, desk)
    add_error_handlers(app)
    for routed in (routes, chat_completions, health, pages, sign_in, static_files):
        app.include_router(routed.router)
    if slack:
        app.include_router(slack.router())
    if mcp:
        app.router.routes.append(mcp.route())
    document_limit(app, settings.max_question_chars)
    # The last added is the outermost.
    app.add_middleware(Gate, doorkeeper=doorkeeper, metrics=metrics)
    app.add_middleware(RequestLimits, seconds=settings.client_timeout_seconds)
    app.add_middleware(UnknownErrors)
    app.add_middleware(CountRequests, metrics=metrics)
    app.add_middleware(RequestLog)
    app.add_middleware(SecurityHeaders)
    return app


def document_limit(app: FastAPI, max_question_chars: int) -> None:
    """Puts the length that the settings allow a question into the OpenAPI document."""
    generate = app.openapi

    def generate_with_limit() -> dict[str, Any]:
        document = generate()
        for name in ("SearchRequest", "AskRequest"):
            question = document["components"]["schemas"][name]["properties"]["question"]
            question["maxLength"] = max_question_chars
        return document

    app.openapi = generate_with_limit  # type: ignore[method-assign]


def _version() -> str:
    try:
        return version("kotae")
    except PackageNotFoundError:
        return "0"
