"""`kotae completion`: the script that makes a shell complete commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from rag.commands.command import Command
from rag.commands.terminal import print_lines

SHELLS = ("bash", "zsh", "tcsh")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `kotae completion`."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that will read the script")


def run_completion(options: argparse.Namespace) -> int:
    """Prints the script."""
    import shtab

    from rag.commands import build_parser

    parser = build_parser()
    offer_paths(parser, {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY})
    print_lines(shtab.complete(parser, options.shell).splitlines())
    return 0


def offer_paths(parser: argparse.ArgumentParser, kinds: Mapping[str, object]) -> None:
    """Where an option takes a FILE or DIR, the shell offers those there are."""
    for action in parser._actions:
        if isinstance(action.metavar, str) and action.metavar in kinds:
            action.complete = kinds[action.metavar]  # type: ignore[attr-defined]
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                offer_paths(command, kinds)


COMMAND = Command(
    name="completion",
    summary="print a script that completes commands and options in your shell",
    examples=(
        "source <(kotae completion bash)                    # a line of ~/.bashrc",
        "kotae completion zsh > ~/.zsh/completions/_kotae   # a folder of $fpath",
    ),
    add_options=add_options,
    run=run_completion,
    on_notes=False,
)
