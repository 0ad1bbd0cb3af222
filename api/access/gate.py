"""Middleware: who may come in, by key or session; everything that is not named open is closed.

Keys are asked for as soon as there is a file of them. Without one, whoever reaches the address is
let in, which `check_exposure` allows on this machine alone unless it is told outright.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.hosts import SAFE_METHODS, OwnNames, is_loopback
from api.access.keys import KeyStore, open_keys
from api.access.rates import RateLimit, caller_of
from api.access.sessions import SessionStore
from api.errors import error_response
from api.metrics import Metrics
from api.templating import render_page
from rag.config import Settings
from rag.errors import ConfigError

logger = logging.getLogger(__name__)

SIGN_IN_PATH: Final = "/sign-in"
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", SIGN_IN_PATH})
"""Asked without a key; the first two say only that the service lives."""
_OPEN_FOLDER: Final = "/static/"
NEXT: Final = "next"
"""The parameter that says where to go after signing in."""
SIGNED_ELSEWHERE: Final = "/slack/events"
"""Slack signs what it sends; who else sends there is turned away by its signature."""
WRONG_KEYS_PER_MINUTE: Final = 10
_COOKIES: Final = {True: "__Host-kotae", False: "kotae_session"}
"""The first is one that only an encrypted page of this very host can set."""


@dataclass(frozen=True)
class Doorkeeper:
    """What the gate and the sign-in page know in common."""

    names: OwnNames
    keys: KeyStore
    sessions: SessionStore
    requests: RateLimit
    wrong_keys: RateLimit
    only_this_machine: bool

    @classmethod
    def of(cls, settings: Settings) -> Doorkeeper:
        """The doorkeeper of a service with these settings."""
        keys = open_keys(settings)
        keys.all()  # from now on they are asked for, whatever becomes of the file
        return cls(
            OwnNames(settings),
            keys,
            SessionStore(settings.session_hours * 3600),
            RateLimit(settings.requests_per_minute),
            RateLimit(WRONG_KEYS_PER_MINUTE),
            is_loopback(settings.host),
        )

    def cookie_name(self, request: Request) -> str:
        """What the session's cookie is called on this connection."""
        return _COOKIES[self.names.is_https(request)]

    def visitor(self, request: Request) -> str | None:
        """The name of the key that the request bears, or that its reader signed in with."""
        bearer = bearer_of(request)
        if bearer is not None:
            found = self.keys.find(bearer)
            return found.name if found else None
        session = self.sessions.find(request.cookies.get(self.cookie_name(request), ""))
        return session.key.name if session and self.keys.holds(session.key) else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is turned away."""

    code: str
    headers: Mapping[str, str]


class Gate:
    """Turns away what may not come in; lets pass the rest, saying in the scope who it is."""

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        self.doorkeeper = doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} is served")
        request = Request(scope)
        try:
            refusal = self.refusal(request)
        except ConfigError as error:  # the file of keys: what cannot be read lets nobody in
            logger.error("%s", error)
            refusal = Refusal(error.code, {})
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            self.metrics.rejected.labels(refusal.code).inc()
            await self._turn_away(request, refusal)(scope, receive, send)

    def refusal(self, request: Request) -> Refusal | None:
        """None for a request that may come in."""
        doorkeeper = self.doorkeeper
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not doorkeeper.names.answers_to(hosts[0]):
            return Refusal("wrong_host", {})
        path = request.scope["path"]
        if path.startswith(_OPEN_FOLDER) or path == SIGNED_ELSEWHERE:
            return None
        if _changes_something(request) and not doorkeeper.names.is_own_request(request):
            return Refusal("wrong_origin", {})
        visitor = doorkeeper.visitor(request) if doorkeeper.keys.demanded else None
        request.scope.setdefault("state", {})["visitor"] = visitor
        if path in OPEN_PATHS:
            return None
        address = caller_of(request.client.host if request.client else "")
        if doorkeeper.keys.demanded and visitor is None:
            return self._stranger(request, address)
        return self._too_often(visitor, address)

    def _stranger(self, request: Request, address: str) -> Refusal:
        if bearer_of(request) is not None:
            wait = self.doorkeeper.wrong_keys.take(address)
            if wait:
                return Refusal("rate_limited", {"Retry-After": str(wait)})
        return Refusal("unauthorized", {"WWW-Authenticate": 'Bearer realm="kotae"'})

    def _too_often(self, visitor: str | None, address: str) -> Refusal | None:
        if visitor is None and self.doorkeeper.only_this_machine:
            return None  # the owner's own programs, at their own machine
        caller = f"key {visitor}" if visitor else f"address {address}"
        wait = self.doorkeeper.requests.take(caller)
        return Refusal("rate_limited", {"Retry-After": str(wait)}) if wait else None

    def _turn_away(self, request: Request, refusal: Refusal) -> Response:
        if refusal.code == "unauthorized" and _is_page_visit(request):
            if request.headers.get("sec-fetch-site") == "cross-site":
                # A strict cookie does not come along on a link of another site, such as Slack;
                # it does when this page itself goes there.
                return Response(render_page("reopen.html"), media_type="text/html")
            return RedirectResponse(sign_in_url(request), 303)
        return error_response(request, refusal.code, None, None, refusal.headers)


def check_exposure(settings: Settings) -> None:
    """Raises ConfigError for a service that strangers could reach without being told to."""
    keys = open_keys(settings)
    if keys.all():
        return
    if keys.demanded:
        raise ConfigError(
            f"every key in {keys.path} is revoked, so nobody could come in: kotae keys add NAME, "
            "or delete the file"
        )
    if not (settings.without_keys or is_loopback(settings.host)):
        raise ConfigError(
            f"host {settings.host!r} lets other machines in, and there is no API key: kotae keys "
            "add NAME, or --without-keys if everybody who reaches it may read the notes"
        )


def bearer_of(request: Request) -> str | None:
    """What the request gives as its key; None when it gives none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def sign_in_url(request: Request) -> str:
    """The sign-in page, which leads back to what was asked for."""
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{SIGN_IN_PATH}?{urlencode({NEXT: request.url.path + query})}"


def _changes_something(request: Request) -> bool:
    return request.method not in SAFE_METHODS and bearer_of(request) is None


def _is_page_visit(request: Request) -> bool:
    return request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")
