"""What Kotae needs around it, for `kotae doctor`: disk, port, optional packages, answer servers."""

from __future__ import annotations

import json
import platform
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from rag.bundled_model import FOLDER_NAME, cache_folder, is_intact
from rag.config import DEFAULT_EMBEDDER, Settings
from rag.doctor import Finding

MODEL_BYTES = 650_000_000
INDEX_BYTES = 200_000_000
EXTRAS = {"slack": "slack_bolt", "mcp": "mcp", "qdrant": "qdrant_client"}
"""Optional parts and the package that tells whether they are installed."""
TIMEOUT_SECONDS = 3.0


def check_surroundings(settings: Settings) -> Iterator[Finding]:
    """Every check, quick ones all; none opens the index or the model."""
    yield Finding("program", True, f"kotae {_version()}, Python {platform.python_version()}")
    yield _check_model(settings)
    yield check_space("index disk", settings.index, INDEX_BYTES, "--index DIR")
    yield check_port(settings)
    for extra, package in EXTRAS.items():
        yield check_extra(extra, package, settings)
    for name, server in settings.models.items():
        yield check_server(name, server.base_url)


def _check_model(settings: Settings) -> Finding:
    folder = cache_folder() / FOLDER_NAME
    if settings.embedder != DEFAULT_EMBEDDER:
        return Finding("model", True, f"{settings.embedder}, opened with the index")
    if is_intact(folder):
        return Finding("model", True, f"prepared in {folder}")
    space = check_space("model", folder, MODEL_BYTES, "KOTAE_CACHE")
    if not space.ok:
        return space
    return Finding("model", True, f"not prepared yet; the first command does so in {folder}")


def check_space(name: str, folder: Path, needed: int, elsewhere: str) -> Finding:
    """Whether there is room for `needed` bytes in the folder, or where it would be made."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    return Finding(
        name,
        free >= needed,
        f"{free / 1e9:.1f} GB free for {folder}",
        f"free {needed / 1e6:.0f} MB there, or choose another folder with {elsewhere}",
    )


def why_not_listening(settings: Settings) -> str | None:
    """Why `kotae serve` cannot listen on its address; None when it can."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while ")[0]
        return f"cannot listen on {settings.host}:{settings.port} ({reason})"
    return None


def check_port(settings: Settings) -> Finding:
    """Whether `kotae serve` can listen, or does so already."""
    address = f"{settings.host}:{settings.port}"
    fault = why_not_listening(settings)
    if fault is None:
        return Finding("port", True, f"{address} is free for kotae serve")
    if _is_kotae(settings):
        return Finding("port", True, f"kotae serve answers at {address}")
    way_out = "stop the program that does, or set KOTAE_PORT or KOTAE_HOST to another"
    return Finding("port", False, fault, way_out)


def check_extra(extra: str, package: str, settings: Settings) -> Finding:
    """Whether an optional part is installed; a failure only where it has been set up."""
    install = f"pip install 'kotae[{extra}]'"
    if find_spec(package):
        return Finding(extra, True, "installed")
    asked_for = {"slack": settings.slack_bot_token, "qdrant": settings.qdrant_url}
    wanted = asked_for.get(extra) is not None
    return Finding(extra, not wanted, f"not installed: {install}", install)


def check_server(name: str, base_url: str) -> Finding:
    """Whether an answer model's server takes connections; nothing is asked of it."""
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), TIMEOUT_SECONDS).close()
    except OSError as error:
        return Finding(
            f"answer model {name}",
            False,
            f"no server at {base_url} ({error.strerror or error})",
            f"start it, or mend base_url of [models.{name}] in kotae.toml",
        )
    return Finding(f"answer model {name}", True, f"a server listens at {base_url}")


def _is_kotae(settings: Settings) -> bool:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            return bool(json.load(response) == {"status": "ok"})
    except (OSError, ValueError):
        return False


def _version() -> str:
    try:
        return version("kotae")
    except PackageNotFoundError:
        return "0"
