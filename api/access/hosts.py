"""The names the service answers to, and the pages whose requests are its own.

A browser can be led to this machine under another site's name (DNS rebinding), and any site can
make it send forms here; both show in headers that the site cannot forge.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from rag.config import Settings

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::", ""})
"""What a service listens on, but nobody calls it by."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that listens there."""
    return host.lower() in LOOPBACK_NAMES or (_is_address(host) and ip_address(host).is_loopback)


class OwnNames:
    """Tells the service's own names and origins from those of other sites."""

    def __init__(self, settings: Settings) -> None:
        public = urlsplit(settings.public_url or "")
        self.public_origin = f"{public.scheme}://{public.netloc}" if public.netloc else None
        named = [settings.host, public.hostname or "", *settings.allowed_hosts]
        names = {name.lower().rstrip(".") for name in named} - _EVERY_ADDRESS
        self._names = LOOPBACK_NAMES | names

    def answers_to(self, host_header: str) -> bool:
        """Whether a Host header is a name of the service, or any address: no other site can have
        an address for its name."""
        name = _name_of(host_header)
        if name is None:
            return False
        return "*" in self._names or name in self._names or _is_address(name)

    def is_own_request(self, request: Request) -> bool:
        """Whether a page of the service sent it; a program, which is no page, sends no origin."""
        origin = request.headers.get("origin")
        if origin is None:
            return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        host = request.headers.get("host", "")
        return origin == self.public_origin or (
            urlsplit(origin).netloc == host and urlsplit(origin).scheme in ("http", "https")
        )

    def is_https(self, request: Request) -> bool:
        """Whether the reader's connection is encrypted, here or at the proxy in front."""
        host = request.headers.get("host", "")
        return request.url.scheme == "https" or self.public_origin == f"https://{host}"


def _name_of(host_header: str) -> str | None:
    """The name without its port; None for what is no name."""
    if set(host_header) & set("/\\@?#, \t") or not host_header.isascii():
        return None
    try:
        parts = urlsplit(f"//{host_header}")
        _ = parts.port
    except ValueError:
        return None
    return (parts.hostname or "").rstrip(".") or None


def _is_address(name: str) -> bool:
    try:
        # The unspecified address is no place to call, yet browsers take it for this machine.
        return not ip_address(name).is_unspecified
    except ValueError:
        return False
