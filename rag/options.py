"""Every command of `kotae` and its options; a mistake in them is told in one line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

EXAMPLES = """examples:
  kotae serve                                   chat page on http://127.0.0.1:8000
  kotae ask "Lambdaの最大実行時間は？"
  kotae search "ロールバックの条件" -k 3 --json
  kotae index --corpus ~/notes --index ~/.kotae-index
"""


class OneLineParser(argparse.ArgumentParser):
    """Tells a mistake in one line, without the usage in front."""

    def error(self, message: str) -> NoReturn:
        """Exits with status 2."""
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def build_parser() -> OneLineParser:
    """Every command with its options."""
    parser = OneLineParser(
        prog="kotae",
        description="Answers questions from your own Japanese notes, citing the exact words.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    index = _command(commands, "index", "build the index, or bring it up to date")
    index.add_argument("--rebuild", action="store_true", help="build it anew whatever is there")
    index.add_argument("--json", action="store_true", help="one JSON object on stdout")

    search = _command(commands, "search", "find the passages for a question")
    search.add_argument("question", metavar="QUESTION")
    search.add_argument("-k", "--top-k", type=int, metavar="N", help="how many (5)")
    search.add_argument("--tag", action="append", default=[], help="only notes with this tag")
    search.add_argument("--json", action="store_true", help="one JSON object on stdout")

    ask = _command(commands, "ask", "answer a question from the notes")
    ask.add_argument("question", metavar="QUESTION")
    ask.add_argument("--model", help="answer model: extractive, or one of your own")
    ask.add_argument("--tag", action="append", default=[], help="only notes with this tag")
    ask.add_argument("--json", action="store_true", help="one JSON object on stdout")

    serve = _command(commands, "serve", "start the chat page and the HTTP API")
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (8000)")

    evaluate = _command(commands, "eval", "score retrieval and answers on gold questions")
    question_set = evaluate.add_mutually_exclusive_group()
    question_set.add_argument(
        "--gold", type=Path, nargs="+", default=(), metavar="FILE", help="gold questions (JSONL)"
    )
    question_set.add_argument("--squad", type=Path, metavar="FILE", help="a SQuAD-format set")
    question_set.add_argument("--beir", type=Path, metavar="DIR", help="a BEIR folder")
    evaluate.add_argument("--split", choices=("tune", "held", "all"), default="all")
    evaluate.add_argument(
        "--legs", nargs="*", metavar="LEG", help="legs also run alone (all; none for public sets)"
    )
    evaluate.add_argument("--baseline", type=Path, metavar="DIR", help="compare with it: the gate")
    evaluate.add_argument("--write-baseline", type=Path, metavar="DIR", help="make it the baseline")
    evaluate.add_argument("--report", type=Path, metavar="DIR", help="write index.html and exports")
    evaluate.add_argument("--json", action="store_true", help="one JSON object on stdout")

    _command(commands, "slack", "answer in Slack, over a socket that needs no public address")

    doctor = _command(commands, "doctor", "tell what is wrong, and what to do")
    doctor.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def _command(
    commands: argparse._SubParsersAction[OneLineParser], name: str, text: str
) -> OneLineParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.add_argument("--corpus", type=Path, metavar="DIR", help="folder of notes (corpus)")
    command.add_argument("--index", type=Path, metavar="DIR", help="folder of the index (index)")
    command.add_argument("--embedder", metavar="NAME", help="embedding model: name or folder")
    return command
