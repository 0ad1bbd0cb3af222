"""Every command of `kotae`, one module a command; a new one is a module and a line here."""

from __future__ import annotations

from rag.commands import (
    ask,
    completion,
    doctor,
    evaluate,
    gold,
    index,
    keys,
    mcp,
    search,
    serve,
    slack,
)
from rag.commands.command import Command, OneLineParser, parser_of

COMMANDS: tuple[Command, ...] = (
    index.COMMAND,
    search.COMMAND,
    ask.COMMAND,
    serve.COMMAND,
    keys.COMMAND,
    slack.COMMAND,
    mcp.COMMAND,
    evaluate.COMMAND,
    gold.COMMAND,
    doctor.COMMAND,
    completion.COMMAND,
)
"""In the order of `kotae --help`."""


def build_parser() -> OneLineParser:
    """`kotae` with every command and its options."""
    return parser_of(
        COMMANDS, "Answers questions from your own Japanese notes, citing the exact words."
    )
