"""`kotae ask`: a cited answer."""

from __future__ import annotations

import argparse

from rag.commands.command import Command, add_json, add_tag
from rag.commands.opening import open_assistant, settings_of
from rag.commands.terminal import print_json, print_lines


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `kotae ask`."""
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument("--model", help="answer model: extractive, or one of your own")
    add_tag(parser)
    add_json(parser)


def run_ask(options: argparse.Namespace) -> int:
    """Prints the answer and what it cites."""
    from rag.presenting import answer_json, answer_lines

    settings = settings_of(options)
    assistant = open_assistant(settings)
    answer = assistant.ask(
        options.question, top_k=settings.top_k, tags=options.tag, model=options.model
    )
    if options.json:
        print_json(answer_json(answer))
    else:
        print_lines(answer_lines(answer))
    return 0


COMMAND = Command(
    name="ask",
    summary="answer a question from the notes",
    details="Every statement carries the number of the place in the notes it rests on.",
    examples=(
        'kotae ask "Lambdaの最大実行時間は？"',
        'kotae ask "ロールバックの条件は？" --tag DOP-C02 --json',
    ),
    add_options=add_options,
    run=run_ask,
)
