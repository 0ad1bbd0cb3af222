"""The notes that ship: their form, and that nothing in them is copied from the source notes."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from rag.loading import front_matter_end, load_corpus, read_front_matter

ROOT = Path(__file__).parent.parent
NOTES = sorted((ROOT / "corpus").rglob("*.md"))
SOURCES = sorted((ROOT.parent / "shared" / "notes").glob("*.txt"))
MAX_COPIED_CHARS = 29
EXAMS = {"SAP-C02", "DOP-C02"}


def body_of(note: Path) -> str:
    text = note.read_text(encoding="utf-8")
    return text[front_matter_end(text) :]


def headings_and_lines(note: Path) -> list[tuple[str, str]]:
    """Each line of the body as (`#`s of a heading or nothing, line); code has no headings."""
    found = []
    in_code = False
    for line in body_of(note).splitlines():
        in_code ^= line.lstrip().startswith("```")
        heading = re.match(r"#{1,6}(?= )", line)
        found.append((heading.group() if heading and not in_code else "", line))
    assert not in_code, f"{note.name}: a code fence stays open"
    return found


def name_of(note: Path) -> str:
    return note.stem


def test_there_are_at_least_25_notes_and_all_can_be_read() -> None:
    corpus = load_corpus(ROOT / "corpus", max_note_bytes=1_000_000)
    assert len(corpus.documents) >= 25
    assert corpus.problems == ()


@pytest.mark.parametrize("note", NOTES, ids=name_of)
def test_front_matter_has_a_title_tags_and_other_names(note: Path) -> None:
    front_matter = read_front_matter(note.read_text(encoding="utf-8"))
    assert set(front_matter) == {"title", "tags", "aliases"}
    assert isinstance(front_matter["title"], str)
    for key in ("tags", "aliases"):
        names = front_matter[key]
        assert isinstance(names, list)
        assert names
        assert all(isinstance(name, str) and name.strip() for name in names)
        assert len(names) == len(set(names))
    tags = front_matter["tags"]
    assert isinstance(tags, list)
    assert EXAMS & set(tags), "of which exam it is"


def test_titles_are_unique() -> None:
    titles = [read_front_matter(note.read_text(encoding="utf-8"))["title"] for note in NOTES]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("note", NOTES, ids=name_of)
def test_the_title_is_the_only_heading_of_the_first_level(note: Path) -> None:
    assert [line for mark, line in headings_and_lines(note) if mark == "#"] == []


@pytest.mark.parametrize("note", NOTES, ids=name_of)
def test_no_section_is_empty(note: Path) -> None:
    """A heading is followed by text, or by a heading one level deeper."""
    lines = [(mark, line) for mark, line in headings_and_lines(note) if line.strip()]
    for (mark, line), (following, _) in zip(lines, [*lines[1:], ("#", "")], strict=True):
        if mark and following:
            assert following == mark + "#", f"nothing below {line!r}"


@pytest.mark.parametrize("note", NOTES, ids=name_of)
def test_headings_are_unique_under_their_parent_and_skip_no_level(note: Path) -> None:
    path: list[str] = [note.name]
    seen = set()
    for mark, line in headings_and_lines(note):
        if mark:
            depth = len(mark) - 1
            assert depth <= len(path), f"{line!r} skips a level"
            path = [*path[:depth], line]
            assert tuple(path) not in seen, f"{line!r} stands there twice"
            seen.add(tuple(path))


def fold(text: str) -> str:
    """Without layout and code; a name in Latin letters counts as one character."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "A", text, flags=re.DOTALL)
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"[A-Za-z0-9][A-Za-z0-9 _.:/@*+#&'-]*", "A", text)
    return re.sub(r"[\s|*#>-]+", "", text)


def runs_of(text: str) -> list[str]:
    """Every run of characters that is too long to have been copied."""
    length = MAX_COPIED_CHARS + 1
    return [text[start : start + length] for start in range(len(text) - length + 1)]


@pytest.fixture(scope="module")
def source_runs() -> frozenset[str]:
    """Runs of the source notes, which are not part of the project."""
    if not SOURCES:
        pytest.skip(f"the source notes are not in {ROOT.parent / 'shared' / 'notes'}")
    texts = [fold(path.read_text(encoding="utf-8")) for path in SOURCES]
    return frozenset(run for text in texts for run in runs_of(text))


@pytest.mark.parametrize("note", NOTES, ids=name_of)
def test_no_sentence_is_copied(note: Path, source_runs: frozenset[str]) -> None:
    assert [run for run in runs_of(fold(body_of(note))) if run in source_runs] == []


def test_a_copied_sentence_would_be_found(source_runs: frozenset[str]) -> None:
    run = min(source_runs)
    assert source_runs & set(runs_of(f"前置き。{run}後ろ。"))
    assert not source_runs & set(runs_of(f"前置き。{run[:20]}、、{run[20:]}"))
