"""How commands speak: results on stdout, everything else on stderr."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress

from rag.errors import RagError

_DIRECTIONS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
UNSEEN = {
    code: "\ufffd" for code in (*range(32), *range(127, 160), *_DIRECTIONS) if code != ord("\t")
}
"""Control characters, those of writing direction too: a note must not steer the terminal."""


def say(message: str) -> None:
    """One line on stderr."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def print_json(value: object) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201


def print_lines(lines: Iterable[str], links: Mapping[str, str] | None = None) -> None:
    """Lines on stdout; control characters, which may come from a note, are made visible.

    A place at the end of a line becomes the link of that name in `links`.
    """
    for line in lines:
        print(linked(line.translate(UNSEEN), links or {}))  # noqa: T201


def linked(line: str, links: Mapping[str, str]) -> str:
    """The line, with the place at its end as a link (OSC 8) if it is one of those."""
    for place, url in links.items():
        if line.endswith(f"({place})"):
            return f"{line[: -len(place) - 1]}\x1b]8;;{url}\x1b\\{place}\x1b]8;;\x1b\\)"
    return line


def print_error(error: RagError | OSError) -> None:
    """One line: what was wrong, the value, what to do."""
    say(f"kotae: {' '.join(str(error).splitlines())}")


def drop_stdout() -> None:
    """Nobody reads it: what Python still writes there at exit must not fail again."""
    with suppress(io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
