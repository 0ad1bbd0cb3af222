"""The Model Context Protocol over stdin and stdout, for a program that starts `kotae mcp`."""

from __future__ import annotations

from pathlib import Path

from api.answering import Readiness
from api.following import Follower
from api.mcp.http import page_address
from api.mcp.results import Address
from api.mcp.server import create_mcp_server
from api.mcp.tools import NoteTools
from api.metrics import Metrics
from api.schemas import line_numbers
from rag.config import Settings
from rag.presenting import note_file_url


class McpOverStdio:
    """Answers until stdin ends; the index is opened meanwhile, so that the client need not wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._readiness = Readiness()
        tools = NoteTools(self._readiness, Metrics(), _address(settings))
        self._server = create_mcp_server(tools)

    def run(self) -> None:
        """Serves; while it does, whatever else is printed goes to stderr."""
        self._readiness.open_in_background(self._settings)
        with Follower(self._settings, self._readiness):
            self._server.run("stdio")


def file_address(corpus: Path) -> Address:
    """Spans open in the note's own file, at their line."""
    return lambda document, start, end: note_file_url(
        corpus, document, line_numbers(document.text, [start])[0]
    )


def _address(settings: Settings) -> Address:
    if settings.public_url:
        return page_address(settings.public_url.rstrip("/"))
    return file_address(settings.corpus)
