"""`kotae keys`: API keys, for services that other machines can reach."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rag.commands.command import Command
from rag.commands.opening import settings_of
from rag.commands.terminal import print_lines, say

if TYPE_CHECKING:
    from api.access.keys import KeyStore

Options = Callable[[argparse.ArgumentParser], None]


def run_add(options: argparse.Namespace) -> int:
    """Prints the new key on stdout, and nothing else there."""
    key = _keys_of(options).add(options.name)
    say(f"the key {options.name!r}, shown this once; give it as `Authorization: Bearer KEY`:")
    print_lines([key])
    return 0


def run_list(options: argparse.Namespace) -> int:
    """Prints a line a key: its name and when it was made."""
    keys = _keys_of(options)
    print_lines(f"{known.name}\t{known.created_at}" for known in keys.all())
    if not keys.demanded:
        say(f"no keys in {keys.path}: whoever reaches the service is let in")
    return 0


def run_revoke(options: argparse.Namespace) -> int:
    """Takes a key back; a running service heeds it at once."""
    keys = _keys_of(options)
    left = keys.revoke(options.name)
    say(f"the key {options.name!r} lets nobody in any more; {left} left")
    if not left:
        say(f"nobody can come in now: kotae keys add NAME, or delete {keys.path}")
    return 0


def _keys_of(options: argparse.Namespace) -> KeyStore:
    from api.access.keys import open_keys

    return open_keys(settings_of(options))


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--index", type=Path, metavar="DIR", help="folder of the index (index)")


def _add_name(verb: str) -> Options:
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help=f"whose key is {verb}")
        _add_folder(parser)

    return add_options


COMMAND = Command(
    name="keys",
    summary="make and revoke the API keys that let people in",
    details="Once there is a key, every request and every reader needs one.",
    examples=("kotae keys add alice",),
    subcommands=(
        Command(
            name="add",
            summary="make a key and show it, once",
            details="Only its hash is kept.",
            examples=("kotae keys add alice", "kotae keys add grafana > grafana.key"),
            add_options=_add_name("made"),
            run=run_add,
            on_notes=False,
        ),
        Command(
            name="list",
            summary="list whose keys there are",
            examples=("kotae keys list",),
            add_options=_add_folder,
            run=run_list,
            on_notes=False,
        ),
        Command(
            name="revoke",
            summary="take a key back",
            details="A running service heeds it at once; who signed in with it is signed out.",
            examples=("kotae keys revoke alice",),
            add_options=_add_name("taken back"),
            run=run_revoke,
            on_notes=False,
        ),
    ),
)
