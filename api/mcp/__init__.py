"""The notes as tools of the Model Context Protocol, over HTTP or stdio; needs the extra `mcp`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from api.answering import Readiness
from api.desk import QuestionDesk
from api.mcp.http import McpOverHttp
from api.metrics import Metrics
from rag.config import Settings
from rag.errors import ConfigError

if TYPE_CHECKING:
    from api.mcp.stdio import McpOverStdio


def open_mcp_over_http(
    settings: Settings, readiness: Readiness, metrics: Metrics, desk: QuestionDesk
) -> McpOverHttp | None:
    """What answers at /mcp; None when the extra is not installed."""
    if not is_installed():
        return None
    return McpOverHttp(settings, readiness, metrics, desk)


def open_mcp_over_stdio(settings: Settings) -> McpOverStdio:
    """What answers the program that started this one; ConfigError when the extra is missing."""
    if not is_installed():
        raise ConfigError("MCP needs a package that is not installed: pip install 'kotae[mcp]'")
    from api.mcp.stdio import McpOverStdio

    return McpOverStdio(settings)


def is_installed() -> bool:
    """Whether the extra `mcp` is there; looking does not import it, which takes half a second."""
    return find_spec("mcp") is not None
