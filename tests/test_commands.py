from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rag.commands import COMMANDS, build_parser
from rag.commands.command import Command
from rag.commands.completion import SHELLS

ROOT = Path(__file__).parent.parent


def paths(commands: Sequence[Command], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command as the words that call it, `("gold", "review")` after `("gold",)`."""
    for command in commands:
        yield (*before, command.name)
        yield from paths(command.subcommands, (*before, command.name))


def examples(commands: Sequence[Command]) -> Iterator[tuple[str, str]]:
    """Every example with the name of the command whose help shows it."""
    for command in commands:
        yield from ((command.name, example) for example in command.examples)
        yield from examples(command.subcommands)


def joined(value: object) -> str | None:
    """The id of a test: its words, where it has some."""
    return " ".join(value) if isinstance(value, tuple) else None


def help_of(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as done:
        build_parser().parse_args([*words, "--help"])
    assert done.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [(), *paths(COMMANDS)], ids=joined)
def test_help_is_shown_for_every_command(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    out = help_of(*words, capsys=capsys)
    assert f"usage: {' '.join(['kotae', *words])} " in out
    assert "\nexamples:\n  " in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(("name", "example"), list(examples(COMMANDS)))
def test_every_example_is_one_that_the_command_understands(name: str, example: str) -> None:
    call = re.search(r"\bkotae ([^<>)]+)", example)
    assert call
    options = build_parser().parse_args(shlex.split(call[1], comments=True))
    assert name in (options.command, getattr(options, "subcommand", None))
    assert callable(options.run)


COMPLETE = """
source "$1"
COMP_WORDS=("${@:2}"); COMP_CWORD=$(($# - 2))
_shtab_kotae
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""Asks bash, as the Tab key does, what may stand for the last of the words."""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `kotae completion bash` prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", "from rag.cli import main; main()", "completion", "bash"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    path = tmp_path_factory.mktemp("completion") / "kotae.bash"
    path.write_text(done.stdout, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("se",), {"search", "serve"}),
        (("search", "--ta"), {"--tag"}),
        (("eval", "--split", ""), {"tune", "held", "all"}),
        (("completion", ""), set(SHELLS)),
        (("index", "--corpus", "no"), {"notes"}),
        (("eval", "--squad", "n"), {"notes", "notes.json"}),
    ],
    ids=joined,
)
def test_bash_offers_what_may_come_next(
    script: Path, tmp_path: Path, words: tuple[str, ...], offered: set[str]
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes.json").touch()
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", str(script), "kotae", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script_of_its_own(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = build_parser().parse_args(["completion", shell])
    assert options.run(options) == 0
    out = capsys.readouterr().out
    assert "kotae" in out
    assert "search" in out
