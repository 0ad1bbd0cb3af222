"""The Model Context Protocol at /mcp of the service: streamable HTTP, without sessions."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.answering import Readiness
from api.desk import QuestionDesk
from api.errors import error_response
from api.mcp.results import Address
from api.metrics import Metrics
from rag.citations import span_url
from rag.config import Settings

if TYPE_CHECKING:
    from mcp.server import MCPServer

PATH: Final = "/mcp"
_OWN_NAME: Final = "127.0.0.1"
_ALL_ADDRESSES: Final = ("0.0.0.0", "::")


class McpOverHttp:
    """Answers at /mcp while it is entered; what it needs is imported when it is first asked.

    That takes half a second, which most starts of the service need not wait for.
    """

    def __init__(
        self, settings: Settings, readiness: Readiness, metrics: Metrics, desk: QuestionDesk
    ) -> None:
        self._settings = settings
        self._readiness = readiness
        self._metrics = metrics
        self._desk = desk
        self._life: _Life | None = None

    def route(self) -> Route:
        """The route of the service that leads here."""
        return Route(PATH, endpoint=self)

    async def __aenter__(self) -> Self:
        asked, app = asyncio.Event(), asyncio.get_running_loop().create_future()
        self._life = _Life(asked, app, asyncio.create_task(self._serve(asked, app)))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        life, self._life = self._life, None
        if life:
            life.task.cancel()
            with suppress(asyncio.CancelledError):
                await life.task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if self._life is None:
            raise RuntimeError("/mcp was asked outside of the application's lifespan")
        if scope["method"] != "POST":
            # A stream for what the server has to say by itself, which is nothing, or a session's
            # end: to both the protocol lets a server say no.
            refusal = error_response(Request(scope), "method_not_allowed", None)
            await refusal(scope, receive, send)
            return
        self._life.asked.set()
        app = await asyncio.shield(self._life.app)  # a request that is given up ends alone
        async with self._desk.slot("agents"):
            await app(scope, receive, send)

    async def _serve(self, asked: asyncio.Event, app: asyncio.Future[ASGIApp]) -> None:
        """Runs from the first request on, in one task: the manager's must end where they began."""
        await asked.wait()
        try:
            server = await asyncio.to_thread(self._create)
            from mcp.server.transport_security import TransportSecuritySettings

            made = server.streamable_http_app(
                streamable_http_path=PATH,
                # Nothing is pushed to clients: any process may answer, restarts go unnoticed.
                stateless_http=True,
                json_response=True,
                # Host and Origin are checked by the gate of the whole service.
                transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            )
        except Exception as error:  # such as a broken installation: told to whoever asks
            app.set_exception(error)
            return
        async with server.session_manager.run():
            app.set_result(made)
            await asyncio.Event().wait()

    def _create(self) -> MCPServer[Any]:
        from api.mcp.server import create_mcp_server
        from api.mcp.tools import NoteTools

        address = page_address(base_url(self._settings))
        return create_mcp_server(NoteTools(self._readiness, self._metrics, address))


@dataclass(frozen=True, slots=True)
class _Life:
    """What there is between the start and the end of the application."""

    asked: asyncio.Event
    app: asyncio.Future[ASGIApp]
    task: asyncio.Task[None]


def base_url(settings: Settings) -> str:
    """Where readers reach the service, without a slash at the end."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    return f"http://{_name(settings)}:{settings.port}"


def page_address(base: str) -> Address:
    """Spans open on the note's page."""
    return lambda document, start, end: (
        base + span_url(document.doc_id, start, document.text[start:end])
    )


def _name(settings: Settings) -> str:
    if settings.host in _ALL_ADDRESSES:
        return _OWN_NAME
    return f"[{settings.host}]" if ":" in settings.host else settings.host
