"""`kotae ask`: a cited answer, or a conversation."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.commands.command import Command, add_json, add_tag
from rag.commands.conversation import converse, typed_lines
from rag.commands.links import places_of
from rag.commands.opening import open_assistant, settings_of
from rag.commands.terminal import print_json, print_lines
from rag.errors import QuestionError

if TYPE_CHECKING:
    from rag.assistant import Assistant
    from rag.types import Answer


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `kotae ask`."""
    parser.add_argument(
        "question", metavar="QUESTION", nargs="?", help="without it: a conversation"
    )
    parser.add_argument("--model", help="answer model: extractive, or one of your own")
    add_tag(parser)
    add_json(parser)


def run_ask(options: argparse.Namespace) -> int:
    """Prints the answer and what it cites; without a question, answers line after line."""
    from rag.presenting import answer_json

    if options.question is None and options.json:
        raise QuestionError("--json needs a QUESTION: kotae ask QUESTION --json")
    settings = settings_of(options)
    assistant = open_assistant(settings)

    def ask(question: str, history: Sequence[str]) -> Answer:
        return assistant.ask(
            question,
            history=history,
            top_k=settings.top_k,
            tags=options.tag,
            model=options.model,
        )

    if options.question is None:
        converse(lambda question, history: show(assistant, ask(question, history)), typed_lines())
    elif options.json:
        print_json(answer_json(ask(options.question, ())))
    else:
        show(assistant, ask(options.question, ()))
    return 0


def show(assistant: Assistant, answer: Answer) -> None:
    """The answer on stdout; its places are links where the terminal opens them."""
    from rag.presenting import answer_lines, cited_places

    print_lines(answer_lines(answer), places_of(assistant, cited_places(answer)))


COMMAND = Command(
    name="ask",
    summary="answer a question from the notes, or hold a conversation",
    details=(
        "Every statement carries the number of the place in the notes it rests on. Without "
        "QUESTION it asks for one after another; each follows on those before it."
    ),
    examples=(
        'kotae ask "Lambdaの最大実行時間は？"',
        "kotae ask",
        'kotae ask "ロールバックの条件は？" --tag DOP-C02 --json',
    ),
    add_options=add_options,
    run=run_ask,
)
