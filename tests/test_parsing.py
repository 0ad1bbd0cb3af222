"""The rows of golden/headings.tsv: one oddity of real notes each, and the path it must have."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.loading import make_document
from rag.parsing import parse_document
from rag.types import Document, Section

GOLDEN = Path(__file__).parent / "golden" / "headings.tsv"
ROWS = [
    tuple(line.split("\t"))
    for line in GOLDEN.read_text(encoding="utf-8").splitlines()
    if not line.startswith("#") and line.strip()
]


def section_of(document: Document, line: str) -> Section:
    position = document.text.index(line)
    sections = parse_document(document)
    return next(s for s in sections if s.start_index <= position < s.end_index)


@pytest.mark.parametrize(("why", "note", "line", "path"), ROWS, ids=[row[0] for row in ROWS])
def test_a_line_stands_under_its_headings(why: str, note: str, line: str, path: str) -> None:
    document = make_document("note.txt", note.replace("⏎", "\n"))
    assert " › ".join(section_of(document, line).headings) == path, why


def test_an_html_note_is_read_by_its_tags() -> None:
    text = (
        "<html><head><title>題</title><style>p{}</style></head><body><nav>目次</nav>"
        "<h1>星</h1><h2>恒星</h2><p>自分で<b>光る</b>。</p><ul><li>太陽</li><li>シリウス</li></ul>"
        "<h2>惑星</h2><p>恒星を回る。</p></body></html>"
    )
    document = make_document("a.html", text)
    sections = parse_document(document)
    assert [section.headings for section in sections] == [("星", "恒星"), ("星", "惑星")]
    shown = "".join(text[s.start_index : s.end_index] for s in sections)
    assert "p{}" not in shown


def test_rows_of_a_table_know_their_columns() -> None:
    note = "# 表\n\n| 名前 | 上限 |\n|---|---|\n| 甲 | 10 |\n| 乙 | 20 |\n"
    section = section_of(make_document("a.md", note), "| 乙")
    row = next(b for b in section.blocks if "乙" in note[b.start_index : b.end_index])
    assert any("上限" in owner.text for owner in row.owners)


def test_nested_bullets_know_the_bullet_above() -> None:
    note = "# 道具\n\n- 包丁\n    - 週に一度研ぐ。\n- 鍋\n    - 使う前に温める。\n"
    section = section_of(make_document("a.md", note), "使う前に")
    block = next(b for b in section.blocks if "使う前に" in note[b.start_index : b.end_index])
    assert block.owners[0].text == "鍋"
