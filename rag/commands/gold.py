"""`kotae gold review`: answers that readers called bad become gold questions."""

from __future__ import annotations

import argparse
from pathlib import Path

from rag.commands.command import Command
from rag.commands.opening import open_assistant, settings_of
from rag.commands.terminal import print_lines

FILE_NAME = "feedback.jsonl"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `kotae gold review`."""
    parser.add_argument(
        "--gold",
        type=Path,
        metavar="FILE",
        help=f"where accepted questions are added (gold/{FILE_NAME})",
    )
    parser.add_argument("--skipped", action="store_true", help="also those skipped before")


def run_review(options: argparse.Namespace) -> int:
    """Goes through the bad verdicts that nobody has reviewed."""
    from rich.console import Console

    from api.feedback import FeedbackStore
    from eval.review import Reviewer

    settings = settings_of(options)
    gold = options.gold or settings.gold_folder / FILE_NAME
    store = FeedbackStore(settings.index)
    answers = store.bad_answers(["skipped"] if options.skipped else [])
    if not answers:
        print_lines([f"no bad verdict waits for review in {settings.index}"])
        return 0
    console = Console(highlight=False)
    reviewer = Reviewer(open_assistant(settings), gold, console, console.input)
    added = reviewer.review(answers, store.mark)
    left = len(store.bad_answers())
    print_lines([f"{added} added to {gold}, {left} left to review"])
    if added:
        print_lines([f"score them: kotae eval --gold {gold}"])
    return 0


REVIEW = Command(
    name="review",
    summary="make gold questions of the answers that readers called bad",
    details=(
        "Shows each with the nearest passages; you choose the words that answer it, or say that "
        "the notes do not hold them. What you reject or skip is not shown again."
    ),
    examples=(
        "kotae gold review",
        "kotae gold review --gold ~/notes/gold/feedback.jsonl --skipped",
    ),
    add_options=add_options,
    run=run_review,
)
COMMAND = Command(
    name="gold",
    summary="look after the gold questions that kotae eval scores",
    examples=REVIEW.examples,
    subcommands=(REVIEW,),
)
