"""What a command of `kotae` is: its words, its options, what it runs; options that many share."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """Tells a mistake in one line, without the usage in front."""

    def error(self, message: str) -> NoReturn:
        """Exits with status 2."""
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


@dataclass(frozen=True, slots=True)
class Command:
    """One word after `kotae`: `run` gets the options and returns the exit status.

    `summary` is its line in the list of commands; `details` and `examples` are what its own
    `--help` adds. A command with `subcommands` runs one of them instead of something of its own.
    Where it `compares_models`, `--embedder` may be repeated and is a list.
    """

    name: str
    summary: str
    examples: Sequence[str]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda _: None
    run: Callable[[argparse.Namespace], int] | None = None
    details: str = ""
    on_notes: bool = True
    compares_models: bool = False
    subcommands: Sequence[Command] = ()


def parser_of(commands: Sequence[Command], description: str) -> OneLineParser:
    """`kotae` with these commands; what is parsed holds the chosen command's `run`."""
    parser = OneLineParser(
        prog="kotae",
        description=description,
        epilog=_examples([command.examples[0] for command in commands]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_commands(parser, commands, dest="command")
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`, for programs that read the output."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def add_tag(parser: argparse.ArgumentParser) -> None:
    """`--tag`, which narrows a question to some of the notes."""
    parser.add_argument(
        "--tag", action="append", default=[], help="only notes with this tag; may be repeated"
    )


def _add_commands(parser: argparse.ArgumentParser, commands: Sequence[Command], dest: str) -> None:
    places = parser.add_subparsers(required=True, metavar="COMMAND", dest=dest, title="commands")
    for command in commands:
        place = places.add_parser(
            command.name,
            help=command.summary,
            description=textwrap.fill(f"{_sentence(command.summary)}. {command.details}", 79),
            epilog=_examples(command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_options(place)
        if command.subcommands:
            _add_commands(place, command.subcommands, dest="subcommand")
            continue
        if command.on_notes:
            _add_folders(place, command.compares_models)
        place.set_defaults(run=command.run)


def _add_folders(parser: argparse.ArgumentParser, compares_models: bool) -> None:
    group = parser.add_argument_group("notes and index")
    group.add_argument("--corpus", type=Path, metavar="DIR", help="folder of notes (corpus)")
    group.add_argument("--index", type=Path, metavar="DIR", help="folder of the index (index)")
    model = "embedding model: name or folder"
    if compares_models:
        model += "; repeated: a table of them"
    group.add_argument(
        "--embedder",
        metavar="NAME",
        action="append" if compares_models else "store",
        help=model,
    )
    group.add_argument(
        "--reranker", metavar="NAME", help="cross-encoder that orders the best: name or folder"
    )


def _examples(lines: Sequence[str]) -> str:
    return "\n".join(["examples:", *(f"  {line}" for line in lines)])


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
