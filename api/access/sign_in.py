"""The page that lets a reader in: a key once, then a cookie for as long as the session lasts."""

from __future__ import annotations

from typing import Final, cast
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.access.gate import NEXT, SIGN_IN_PATH, Doorkeeper
from api.access.rates import caller_of
from api.errors import error_response
from api.messages import SIGN_IN_WRONG
from api.templating import render_page

MAX_FORM_BYTES: Final = 4000
_READERS_PLACES: Final = ("/notes/", "/?", "/#")

router = APIRouter(include_in_schema=False)


@router.get(SIGN_IN_PATH)
async def sign_in_page(request: Request) -> Response:
    """The form; who is let in already goes on."""
    target = _safe_target(request.query_params.get(NEXT, ""))
    if not _doorkeeper(request).keys.demanded or request.state.visitor:
        return RedirectResponse(target, 303)
    return _page(target)


@router.post(SIGN_IN_PATH)
async def sign_in(request: Request) -> Response:
    """Begins a session for a key that is known; the gate has seen that the form is ours."""
    doorkeeper = _doorkeeper(request)
    form = parse_qs((await request.body())[:MAX_FORM_BYTES].decode("utf-8", "replace"))
    target = _safe_target(form.get(NEXT, [""])[0])
    address = caller_of(request.client.host if request.client else "")
    wait = doorkeeper.wrong_keys.seconds_until_free(address)
    if wait:
        return error_response(request, "rate_limited", None, None, {"Retry-After": str(wait)})
    key = doorkeeper.keys.find(form.get("key", [""])[0].strip())
    if key is None:
        doorkeeper.wrong_keys.take(address)
        return _page(target, SIGN_IN_WRONG, 401)
    name = doorkeeper.cookie_name(request)
    doorkeeper.sessions.end(request.cookies.get(name, ""))
    response = RedirectResponse(target, 303)
    response.set_cookie(
        name,
        doorkeeper.sessions.begin(key),
        max_age=int(doorkeeper.sessions.seconds),
        secure=doorkeeper.names.is_https(request),
        httponly=True,
        samesite="strict",
    )
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Ends the session here, not only in the browser."""
    doorkeeper = _doorkeeper(request)
    name = doorkeeper.cookie_name(request)
    doorkeeper.sessions.end(request.cookies.get(name, ""))
    response = RedirectResponse(SIGN_IN_PATH, 303)
    secure = doorkeeper.names.is_https(request)
    response.delete_cookie(name, secure=secure, httponly=True, samesite="strict")
    return response


def _page(target: str, fault: str = "", status: int = 200) -> Response:
    page = render_page("sign_in.html", target=target, fault=fault)
    return HTMLResponse(page, status, {"Cache-Control": "no-store"})


def _safe_target(target: str) -> str:
    """Only pages of the service: what leads elsewhere, however it is written, leads to the chat."""
    if "\\" in target or not target.isprintable() or not target.startswith(_READERS_PLACES):
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc or ".." in parts.path else target


def _doorkeeper(request: Request) -> Doorkeeper:
    return cast(Doorkeeper, request.app.state.doorkeeper)
