"""`kotae search`: the passages for a question."""

from __future__ import annotations

import argparse

from rag.commands.command import Command, add_json, add_tag
from rag.commands.links import places_of
from rag.commands.opening import open_assistant, settings_of
from rag.commands.terminal import print_json, print_lines


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `kotae search`."""
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument("-k", "--top-k", type=int, metavar="N", help="how many passages (5)")
    add_tag(parser)
    add_json(parser)


def run_search(options: argparse.Namespace) -> int:
    """Prints the passages found."""
    from rag.citations import cite_chunk
    from rag.presenting import search_json, search_lines

    settings = settings_of(options)
    assistant = open_assistant(settings)
    result = assistant.search(options.question, top_k=settings.top_k, tags=options.tag)
    if options.json:
        print_json(search_json(result))
    else:
        places = (cite_chunk(hit.chunk, hit.rank) for hit in result.hits)
        print_lines(search_lines(result), places_of(assistant, places))
    return 0


COMMAND = Command(
    name="search",
    summary="find the passages for a question",
    details="Best first, each under its note, headings and line.",
    examples=(
        'kotae search "ロールバックの条件" -k 3',
        'kotae search "可視性タイムアウト" --tag SAP-C02 --json',
    ),
    add_options=add_options,
    run=run_search,
)
