"""`kotae mcp`: the notes as tools of an AI application that starts it."""

from __future__ import annotations

import argparse

from rag.commands.command import Command
from rag.commands.opening import settings_of
from rag.commands.terminal import say


def run_mcp(options: argparse.Namespace) -> int:
    """Speaks the Model Context Protocol over stdin and stdout until stdin ends."""
    from api.mcp import open_mcp_over_stdio

    server = open_mcp_over_stdio(settings_of(options))
    say("Kotae → MCP (stdin, stdout)")
    server.run()
    return 0


COMMAND = Command(
    name="mcp",
    summary="offer the notes to Claude Desktop, VS Code and other MCP clients",
    details=(
        "The client starts this command and speaks to it over stdin and stdout: docs/mcp.md. "
        "`kotae serve` offers the same tools at /mcp."
    ),
    examples=("kotae mcp --corpus ~/notes --index ~/.kotae-index",),
    run=run_mcp,
)
