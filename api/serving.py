"""The application on an address: uvicorn, with limits on what a connection holds and how long."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.errors import error_body
from api.messages import status_and_message
from api.security import HEADERS
from rag.config import Settings

MAX_CONNECTIONS: Final = 500
MAX_HEAD_BYTES: Final = 32_768
"""Of a request line and headers that are still coming; api/limits.py refuses far smaller ones."""


class WatchfulProtocol(H11Protocol):
    """HTTP/1.1 to a client that keeps its time, and is cut off when it does not.

    uvicorn waits for ever for the head of a request, and for a client that does not read.
    """

    client_seconds: float = 30.0
    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expects a request, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expects nothing more."""
        self._settle()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes data; the head of a request that has begun must end in time."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._settle()
        elif self._overdue is None:
            self._expect()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is written to: it must go on in time."""
        super().pause_writing()
        self._expect()

    def resume_writing(self) -> None:
        """The client reads."""
        self._settle()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, or has too large a head, as every other mistake is refused."""
        status, message = status_and_message("invalid_http")
        body = json.dumps(error_body("invalid_http", message), ensure_ascii=False).encode()
        headers = [
            *HEADERS.items(),
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        for event in (
            h11.Response(status_code=status, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _expect(self) -> None:
        self._settle()
        self._overdue = self.loop.call_later(self.client_seconds, self.transport.abort)

    def _settle(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None


def server_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn is to serve the application; nothing is begun anew while it stops."""
    timed = {"client_seconds": settings.client_timeout_seconds}
    return {
        "http": type("Protocol", (WatchfulProtocol,), timed),
        "ws": "none",
        "log_config": None,  # api/logs.py has set it up
        "access_log": False,
        "server_header": False,
        "h11_max_incomplete_event_size": MAX_HEAD_BYTES,
        "timeout_graceful_shutdown": settings.shutdown_seconds,
        "forwarded_allow_ips": list(settings.trusted_proxies),
    }
