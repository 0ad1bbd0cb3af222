"""Middleware: how large a request may be and how long it may take to arrive."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import error_response

MAX_BODY_BYTES: Final = 1_000_000
"""A question and 20 before it, of 2,000 characters each, take half of it at most."""
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 16_384


class RequestLimits:
    """Refuses what is over a limit before it fills the memory or holds a place for ever."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; reading too much of it, or too long, raises HTTPException."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        code = too_large(scope)
        if code:
            await error_response(Request(scope), code, None)(scope, receive, send)
            return
        received = 0
        until = time.monotonic() + self.seconds

        async def receive_within_limits() -> Message:
            nonlocal received, until
            try:
                async with asyncio.timeout(until - time.monotonic() if until < math.inf else None):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, headers={"Connection": "close"}) from None
            if not message.get("more_body", False):
                until = math.inf  # all is here; what comes now is that the client leaves
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise HTTPException(413)
            return message

        await self.app(scope, receive_within_limits, send)


def too_large(scope: Scope) -> str | None:
    """The error's code, where the head of the request tells it already."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    target = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    size = target + sum(len(name) + len(value) + 4 for name, value in headers)
    if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        return "headers_too_large"
    lengths = [value for name, value in headers if name == b"content-length"]
    if any(not value.isdigit() or int(value) > MAX_BODY_BYTES for value in lengths):
        return "too_large"
    return None
