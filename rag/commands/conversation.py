"""`kotae ask` without a question: one question after another, each following on those before."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rag.commands.terminal import print_error, say
from rag.errors import RagError

PROMPT = "> "
GREETING = (
    "質問をどうぞ。続きの質問は、前の質問をふまえます。 / Ask; a further question follows on.\n"
    "/new 新しい会話 · new conversation   /quit (Ctrl+D) 終わる · quit"
)
NEW_CONVERSATION = "新しい会話です。 / A new conversation."
UNKNOWN_COMMAND = "/new か /quit / only /new and /quit"
MAX_HISTORY = 20
KEPT_QUESTIONS = 1000

Answer = Callable[[str, Sequence[str]], None]
"""Prints the answer to a question, given those before it."""


def converse(answer: Answer, lines: Iterator[str]) -> None:
    """Answers every line; what is wrong with one, or an interrupt, ends that one alone."""
    history: list[str] = []
    for line in lines:
        question = line.strip()
        if question == "/quit":
            return
        if question.startswith("/"):
            say(NEW_CONVERSATION if question == "/new" else UNKNOWN_COMMAND)
            history = [] if question == "/new" else history
        elif question:
            try:
                answer(question, history[-MAX_HISTORY:])
                history.append(question)
            except RagError as error:
                print_error(error)
            except KeyboardInterrupt:
                say("")


def typed_lines() -> Iterator[str]:
    """The lines of stdin, asked for with a prompt and line editing if it is a terminal."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    say(GREETING)
    with _line_editing():
        while True:
            try:
                yield input(PROMPT)
            except EOFError:
                say("")
                return
            except KeyboardInterrupt:  # drops the line, as in a shell
                say("")


@contextmanager
def _line_editing() -> Iterator[None]:
    """Arrow keys bring back earlier questions, those of earlier days too."""
    try:
        import readline
    except ImportError:  # Windows
        yield
        return
    path = history_file()
    if path is not None:
        with suppress(OSError):
            readline.read_history_file(path)
    readline.set_history_length(KEPT_QUESTIONS)
    try:
        yield
    finally:
        if path is not None:
            with suppress(OSError):  # the conversation was what mattered
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600)
                readline.write_history_file(path)


def history_file() -> Path | None:
    """Where questions are kept: KOTAE_HISTORY (empty: nowhere), else the user's state folder."""
    given = os.environ.get("KOTAE_HISTORY")
    if given is not None:
        return Path(given).expanduser() if given else None
    from platformdirs import user_state_path

    return user_state_path("kotae") / "questions"
