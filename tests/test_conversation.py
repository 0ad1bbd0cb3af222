"""`kotae ask` without a question: in this process line by line, and as a program on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from rag.commands.conversation import MAX_HISTORY, converse
from rag.commands.terminal import linked
from rag.errors import QuestionError
from tests.fakes import make_settings
from tests.test_cli import PROGRAM

ROOT = Path(__file__).parents[1]


class Answering:
    """Notes what it is asked, after what; fails where the question says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def __call__(self, question: str, history: Sequence[str]) -> None:
        self.asked.append((question, list(history)))
        if question == "broken":
            raise QuestionError("the question is broken")
        if question == "interrupted":
            raise KeyboardInterrupt


def conversation(*lines: str) -> list[tuple[str, list[str]]]:
    answering = Answering()
    converse(answering, iter(lines))
    return answering.asked


def test_each_question_follows_on_those_before_it() -> None:
    assert conversation("一\n", "  \n", "二\n") == [("一", []), ("二", ["一"])]


def test_a_new_conversation_forgets_and_the_last_line_need_not_come() -> None:
    asked = conversation("一", "/new", "二", "/unknown", "三", "/quit", "四")
    assert asked == [("一", []), ("二", []), ("三", ["二"])]


@pytest.mark.parametrize("failing", ["broken", "interrupted"])
def test_a_question_that_fails_ends_nothing_and_is_no_history(
    failing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert conversation("一", failing, "二")[-1] == ("二", ["一"])
    assert ("kotae: the question is broken\n" in capsys.readouterr().err) is (failing == "broken")


def test_history_is_as_long_as_the_service_takes() -> None:
    asked = conversation(*map(str, range(MAX_HISTORY + 3)))
    assert asked[-1][1] == [str(number) for number in range(2, MAX_HISTORY + 2)]


def test_only_a_place_that_is_cited_becomes_a_link() -> None:
    links = {"メモ(1).md:3": "file:///notes/1.md#L3"}
    line = linked("[1] 題 › 節  (メモ(1).md:3)", links)
    assert line == "[1] 題 › 節  (\x1b]8;;file:///notes/1.md#L3\x1b\\メモ(1).md:3\x1b]8;;\x1b\\)"
    for other in ("(メモ(1).md:3) は", "(other.md:3)"):
        assert linked(other, links) == other


TAKE_TERMINAL = """
import fcntl, runpy, signal, termios

fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl+C interrupts, also in
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job that ignores it
runpy.run_path("program.py", run_name="__main__")
"""
"""In the child itself: Python between fork and exec may hang where the tests have threads."""


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, folder: Path, **variables: str) -> None:
        own, theirs = pty.openpty()
        (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
        kept = {"KOTAE_EMBEDDER": "bigram", "KOTAE_ANSWER_THRESHOLD": "0", "TERM": "xterm"}
        kept |= {"KOTAE_HISTORY": str(folder / "state" / "questions"), "PYTHONPATH": str(ROOT)}
        environment = {name: value for name, value in os.environ.items() if "VTE" not in name}
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, "ask"],
            cwd=folder,
            env=environment | kept | variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._own = own
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def wait_for(self, pattern: str, seconds: float = 30) -> str:
        """What was shown up to there, which is not looked at again."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.shown)):
            ready, _, _ = select.select([self._own], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} did not come: {self.shown!r}"
            self.shown += os.read(self._own, 65536).decode(errors="replace")
        passed, self.shown = self.shown[: found.end()], self.shown[found.end() :]
        return passed

    def close(self) -> int:
        status = self._process.wait(timeout=20)
        os.close(self._own)
        return status


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with notes in corpus/."""
    make_settings(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_on_a_terminal_places_are_links_and_questions_come_back(folder: Path) -> None:
    terminal = Terminal(folder, TERM_PROGRAM="vscode")
    assert "続きの質問は" in terminal.wait_for("> $")
    terminal.type("葉緑体は何をつくるか\n")
    shown = terminal.wait_for(r"8;;\x1b\\\)\r\n> $")
    note = (folder / "corpus" / "生物.md").resolve().as_uri()
    assert f"\x1b]8;;{note}#L3\x1b\\生物.md:3\x1b]8;;\x1b\\" in shown
    terminal.type("\x03")  # Ctrl+C drops the line only
    terminal.wait_for("> $")
    terminal.type("\x04")  # Ctrl+D
    assert terminal.close() == 0
    history = folder / "state" / "questions"
    assert "葉緑体は何をつくるか" in history.read_text(encoding="utf-8")
    assert history.stat().st_mode & 0o077 == 0

    terminal = Terminal(folder, TERM_PROGRAM="unknown")
    terminal.wait_for("> $")
    terminal.type("\x1b[A\n")  # the arrow up
    shown = terminal.wait_for(r"生物\.md:3\)\r\n> $")
    assert "葉緑体は何をつくるか" in shown
    assert "\x1b]8;" not in shown
    terminal.type("/quit\n")
    assert terminal.close() == 0


@pytest.mark.slow
def test_lines_of_a_pipe_are_answered_one_by_one(folder: Path) -> None:
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    variables = {"KOTAE_EMBEDDER": "bigram", "KOTAE_ANSWER_THRESHOLD": "0"}
    done = subprocess.run(
        [sys.executable, "program.py", "ask"],
        input="葉緑体は何をつくるか\nキーはローテーションされるか\n",
        cwd=folder,
        env=os.environ | variables | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("(生物.md:3)") < done.stdout.index("(aws/kms.md:")
    assert ">" not in done.stdout
