"""The Model Context Protocol at /mcp of the service: streamable HTTP, without sessions."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from mcp.server.transport_security import TransportSecuritySettings
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.answering import Readiness
from api.mcp.results import Address
from api.mcp.server import create_mcp_server
from api.mcp.tools import NoteTools
from api.metrics import Metrics
from rag.citations import span_url
from rag.config import Settings

PATH: Final = "/mcp"
_OWN_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_ALL_ADDRESSES: Final = ("0.0.0.0", "::")


class McpOverHttp:
    """Answers at /mcp while it is entered; each time anew, for its manager runs only once."""

    def __init__(self, settings: Settings, readiness: Readiness, metrics: Metrics) -> None:
        tools = NoteTools(readiness, metrics, page_address(base_url(settings)))
        self._server = create_mcp_server(tools)
        self._security = transport_security(settings)
        self._app: ASGIApp | None = None
        self._exits = AsyncExitStack()

    def route(self) -> Route:
        """The route of the service that leads here."""
        return Route(PATH, endpoint=self)

    async def __aenter__(self) -> Self:
        self._app = self._server.streamable_http_app(
            streamable_http_path=PATH,
            # Nothing is pushed to clients: any process may answer, and restarts go unnoticed.
            stateless_http=True,
            json_response=True,
            transport_security=self._security,
        )
        await self._exits.enter_async_context(self._server.session_manager.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._app = None
        await self._exits.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if self._app is None:
            raise RuntimeError("/mcp was asked outside of the application's lifespan")
        await self._app(scope, receive, send)


def base_url(settings: Settings) -> str:
    """Where readers reach the service, without a slash at the end."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    return f"http://{_name(settings)}:{settings.port}"


def page_address(base: str) -> Address:
    """Spans open on the note's page."""
    return lambda document, start, end: base + span_url(document.doc_id, start, end)


def transport_security(settings: Settings) -> TransportSecuritySettings:
    """Only names that are known to be the service's: another site's name bound to it is refused.

    Clients that are no browser send no Origin; a browser's must be one of the same names.
    """
    names = [*dict.fromkeys((*_OWN_NAMES, _name(settings)))]
    hosts = [entry for name in names for entry in (name, f"{name}:*")]
    origins = [f"http://{host}" for host in hosts]
    if settings.public_url:
        public = urlsplit(settings.public_url)
        hosts += [public.netloc, f"{public.netloc}:*"]
        origins.append(f"{public.scheme}://{public.netloc}")
    return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins)


def _name(settings: Settings) -> str:
    if settings.host in _ALL_ADDRESSES:
        return _OWN_NAMES[0]
    return f"[{settings.host}]" if ":" in settings.host else settings.host
