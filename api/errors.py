"""Every error → the one JSON shape, OpenAI's own below /v1, or a page for a reader."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.messages import status_and_message
from api.templating import render_page
from rag.errors import RagError

logger = logging.getLogger(__name__)

_CODES_OF_STATUS = {
    400: "invalid_json",
    404: "not_found",
    408: "slow_request",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    431: "headers_too_large",
}


RETRY_SECONDS: Final = 5
"""When to come again to a service that cannot answer now, where nothing better is known."""


class NotReadyError(RagError):
    """The index and the model are still being opened."""

    code = "not_ready"


class UnknownModelError(RagError):
    """A request names an answer model that is not there."""

    code = "unknown_model"


class BusyError(RagError):
    """More questions than can be answered at once and wait; come again in `retry_seconds`."""

    code = "busy"

    def __init__(self, message: str, retry_seconds: int) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class QuestionTimeoutError(RagError):
    """A question took longer than it may."""

    code = "timeout"


class ClientGoneError(RagError):
    """The client did not wait for its answer; nobody reads this."""

    code = "client_gone"


class FeedbackError(RagError):
    """A reader's verdict could not be kept."""

    code = "feedback"


def add_error_handlers(app: FastAPI) -> None:
    """Known errors get their sentence; unknown ones are left to `UnknownErrors`."""

    @app.exception_handler(RagError)
    async def show_rag_error(request: Request, error: RagError) -> Response:
        retry = {"Retry-After": str(error.retry_seconds)} if isinstance(error, BusyError) else None
        return error_response(request, error.code, str(error) or None, None, retry)

    @app.exception_handler(RequestValidationError)
    async def show_validation_error(request: Request, error: RequestValidationError) -> Response:
        faults = error.errors()
        code = "invalid_request"
        if any(fault["type"] == "json_invalid" for fault in faults):
            code = "invalid_json"
        # The rejected value stays out: it may be huge, or text that no JSON can carry.
        detail = [
            {"field": ".".join(map(str, fault["loc"])), "problem": fault["msg"]} for fault in faults
        ]
        return error_response(request, code, detail)

    @app.exception_handler(HTTPException)
    async def show_http_error(request: Request, error: HTTPException) -> Response:
        code = _CODES_OF_STATUS.get(error.status_code, "http")
        return error_response(request, code, None, error.status_code, error.headers)


def error_response(
    request: Request,
    code: str,
    detail: object,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response for an error, in the shape that the asked path has."""
    default_status, message = status_and_message(code)
    status = status or default_status
    if status == 503:
        headers = {"Retry-After": str(RETRY_SECONDS), **(headers or {})}
    path = request.url.path
    if path.startswith("/v1/"):
        return JSONResponse(openai_error(code, message, status), status, headers)
    if path == "/" or path.startswith("/notes/"):
        error_id = detail.get("id") if isinstance(detail, dict) else None
        page = render_page("error.html", message=message, error_id=error_id, status=status)
        return Response(page, status, headers, media_type="text/html")
    return JSONResponse(error_body(code, message, detail), status, headers)


def error_body(code: str, message: str, detail: object = None) -> dict[str, Any]:
    """`{"error": {"code", "message", "detail"?}}`."""
    error: dict[str, object] = {"code": code, "message": message}
    return {"error": error if detail is None else {**error, "detail": detail}}


def openai_error(code: str, message: str, status: int) -> dict[str, Any]:
    """OpenAI's shape, `{"error": {"message", "type", "param", "code"}}`."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def rag_error_body(error: RagError) -> dict[str, Any]:
    """A library error as JSON, for a stream that has already begun."""
    return error_body(error.code, status_and_message(error.code)[1], str(error) or None)


def log_unknown_error(error: Exception) -> str:
    """Logs the traceback and returns the id that a reader may quote."""
    error_id = uuid.uuid4().hex[:12]
    logger.error("unknown error %s", error_id, exc_info=error)
    return error_id


class UnknownErrors:
    """Middleware: an error nobody foresaw is logged once and shown as an id, not a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; answers 500 if it fails before anything was sent."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_on(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_on)
        except Exception as error:
            error_id = log_unknown_error(error)
            if started:
                raise
            response = error_response(Request(scope), "internal", {"id": error_id})
            await response(scope, receive, send)
