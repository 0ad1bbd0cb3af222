"""Rows of golden/*.tsv: why, note, line, expected; `--update-golden` rewrites the last."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rag.loading import make_document
from rag.types import Document

TESTS = Path(__file__).parent
NEWLINE = "⏎"


class GoldenRow(NamedTuple):
    """One row and where it stands, so that a failure can be found and the row rewritten."""

    file: Path
    number: int
    why: str
    note: str
    line: str
    expected: str

    def document(self) -> Document:
        """The note of the row: a file of notes/, or the text itself."""
        if NEWLINE in self.note:
            return make_document("note.txt", self.note.replace(NEWLINE, "\n"))
        path = TESTS / "notes" / self.note
        return make_document(self.note, path.read_text(encoding="utf-8"))

    def place(self) -> int:
        """Where the row's line stands in its note."""
        return self.document().text.index(self.line)

    def check(self, actual: str, update: bool) -> None:
        """Fails when `actual` is not what the row expects, or writes it there."""
        if update and actual != self.expected:
            lines = self.file.read_text(encoding="utf-8").split("\n")
            lines[self.number] = "\t".join((self.why, self.note, self.line, actual))
            self.file.write_text("\n".join(lines), encoding="utf-8")
        else:
            assert actual == self.expected, f"{self.file.name}:{self.number + 1}: {self.why}"


def golden_rows(name: str) -> list[GoldenRow]:
    """The rows of one golden file in order."""
    file = TESTS / "golden" / name
    lines = file.read_text(encoding="utf-8").split("\n")
    return [
        GoldenRow(file, number, *line.split("\t"))
        for number, line in enumerate(lines)
        if line and not line.startswith("#")
    ]
