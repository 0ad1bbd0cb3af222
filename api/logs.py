"""What the service logs: a line an event, as key=value or JSON, each with its request's id.

Questions, keys and notes stay out: a request is told by its route, not its address, an unknown
error by its kind and place, not its message, and what looks like a secret is masked.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.config import Settings

REQUEST_ID: Final = "X-Request-ID"
_FIELDS: Final[ContextVar[dict[str, Any] | None]] = ContextVar("log_fields", default=None)
"""What is known of the request at hand; its work in other threads adds to the same."""
_GIVEN_ID: Final = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_SECRETS: Final = re.compile(
    r"(?:kotae_|xox[a-z]-|xapp-|sk-|gh[pousr]_)[\w-]{8,}|(?<=Bearer )\S+|(?<=://)[^/\s@]+(?=@)"
)
MASK: Final = "***"

logger = logging.getLogger("kotae.requests")


def tell(**fields: object) -> None:
    """Adds to the line that the request at hand is logged with; elsewhere does nothing."""
    known = _FIELDS.get()
    if known is not None:
        known.update(fields)


class RequestLog:
    """Middleware: gives each request an id, its client's or a new one, and logs a line for it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; the id goes back with the response."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _id_of(scope)
        token = _FIELDS.set({"request_id": request_id})
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        began = time.perf_counter()
        try:
            await self.app(scope, receive, send_on)
        finally:
            tell(
                method=method_of(scope),
                route=route_of(scope),
                status=status,
                ms=round((time.perf_counter() - began) * 1000, 1),
                key=scope.get("state", {}).get("visitor"),
                client=scope["client"][0] if scope.get("client") else None,
            )
            logger.info("request")
            _FIELDS.reset(token)


def route_of(scope: Scope) -> str:
    """The route, not the path: it names no note, and there are few of them."""
    return str(getattr(scope.get("route"), "path", "other"))


def method_of(scope: Scope) -> str:
    """The method; of those that anybody may invent, `other`."""
    method = str(scope["method"])
    return method if method in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE") else "other"


def _id_of(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)


class LineFormatter(logging.Formatter):
    """One line a record; the values of `known_secrets` are masked wherever they stand."""

    def __init__(self, as_json: bool, known_secrets: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._as_json = as_json
        self._known_secrets = known_secrets

    def format(self, record: logging.LogRecord) -> str:
        """The record with the fields of its request."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = {
            "time": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._masked(record.getMessage()),
            **(_FIELDS.get() or {}),
        }
        if record.exc_info and record.exc_info[1]:
            fields["error"] = " < ".join(places_of(record.exc_info[1]))
        if self._as_json:
            return self._masked(json.dumps(fields, ensure_ascii=False, default=str))
        told = (f"{name}={_quoted(value)}" for name, value in fields.items() if value is not None)
        return self._masked(" ".join(told))

    def _masked(self, text: str) -> str:
        for secret in self._known_secrets:
            text = text.replace(secret, MASK)
        return _SECRETS.sub(MASK, text)


def places_of(error: BaseException) -> Iterator[str]:
    """An error's kind and the lines it came through, then those of its causes; no message: it may
    hold what somebody asked."""
    told: BaseException | None = error
    while told is not None:
        frames = traceback.extract_tb(told.__traceback__)
        lines = " ".join(f"{frame.filename}:{frame.lineno}" for frame in frames)
        yield f"{type(told).__name__} at {lines}"
        told = told.__cause__ or told.__context__


def set_up_logging(settings: Settings) -> None:
    """Logs to stderr, from now on in the whole process, as the settings say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(settings.log_format == "json", secrets_of(settings)))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for noisy in (
        "httpx",
        "httpx2",
        "httpcore",
        "openai",
        "uvicorn",
        "mcp",
        "slack_bolt",
        "watchfiles",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)  # they log addresses and bodies


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every secret that the settings hold."""
    values = [getattr(settings, name) for name in type(settings).model_fields]
    values += [server.api_key for server in settings.models.values()]
    return tuple(
        value.get_secret_value()
        for value in values
        if isinstance(value, SecretStr) and value.get_secret_value()
    )


def _quoted(value: object) -> str:
    text = str(value)
    return text if re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text, ensure_ascii=False)
