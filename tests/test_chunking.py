"""What holds for the chunks of any note whatever: offsets, coverage, sizes, lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.chunking import ChunkLimits, chunk_document, embedding_text, unit_texts
from rag.loading import front_matter_end, make_document
from rag.types import Chunk, Document

LIMITS = ChunkLimits(chunk_tokens=60, merge_tokens=20)
LINE = st.one_of(
    st.sampled_from(
        [
            "# 見出し",
            "## 小見出し",
            "- 項目です。",
            "  - 下の項目",
            "■ 印",
            "【札】",
            "1. 一",
            "1-2. 二",
            "| 甲 | 乙 |",
            "|---|---|",
            "| 1 | 2 |",
            "```",
            "---",
            "",
            "名前 | 値 |",
            "・点",
            "-",
            "> 引用",
            "短い行",
            "文が一つあります。文がもう一つあります。",
            "Q1. 問いですか",
            "A. 答えです",
            "a\tb\tc",
        ]
    ),
    st.text(max_size=120),
)
NOTE = st.builds(
    lambda lines, breaks: "".join(map("".join, zip(lines, breaks, strict=False))),
    st.lists(LINE, max_size=30),
    st.lists(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]), min_size=30, max_size=30),
)


def count_characters(texts: Sequence[str]) -> list[int]:
    """A token a character, and two that every text has."""
    return [len(text) + 2 for text in texts]


def chunks_of(text: str, limits: ChunkLimits = LIMITS) -> tuple[Document, tuple[Chunk, ...]]:
    document = make_document("note.md", text, title="題")
    return document, chunk_document(document, limits, count_characters)


@given(NOTE)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_chunks_are_literal_spans_that_cover_the_note(text: str) -> None:
    document, chunks = chunks_of(text)
    covered = bytearray(len(text))
    for chunk in chunks:
        assert document.text[chunk.start_index : chunk.end_index] == chunk.text
        covered[chunk.start_index : chunk.end_index] = b"\1" * len(chunk.text)
    missed = [
        index
        for index in range(front_matter_end(text), len(text))
        if not covered[index] and not text[index].isspace() and text[index] != "\ufeff"
    ]
    assert not missed, [text[index] for index in missed]
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)


@given(NOTE)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_line_numbers_count_every_kind_of_line_break(text: str) -> None:
    _, chunks = chunks_of(text)
    for chunk in chunks:
        before = text[: chunk.start_index]
        assert chunk.start_line == 1 + len(re.findall(r"\r\n|\r|\n", before))
        inside = text[: chunk.end_index - 1]
        assert chunk.end_line == 1 + len(re.findall(r"\r\n|\r|\n", inside))


@given(NOTE)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_unit_and_chunk_is_embedded_behind_its_breadcrumb(text: str) -> None:
    _, chunks = chunks_of(text)
    for chunk in chunks:
        assert embedding_text(chunk).startswith(chunk.breadcrumb)
        assert all(unit.startswith(chunk.breadcrumb) for unit in unit_texts(chunk))


def test_a_long_line_is_cut_at_full_stops_and_never_starts_with_one() -> None:
    document, chunks = chunks_of("文の長さは一定です。" * 200)
    assert len(chunks) > 20
    assert all(chunk.text[0] != "。" for chunk in chunks)
    assert "".join(chunk.text for chunk in chunks) == document.text
    assert all(len(chunk.text) <= LIMITS.chunk_tokens for chunk in chunks)


def test_a_line_without_any_place_to_cut_is_cut_all_the_same() -> None:
    _, chunks = chunks_of("あ" * 5000)
    assert all(len(chunk.text) <= LIMITS.chunk_tokens for chunk in chunks)
    assert sum(len(chunk.text) for chunk in chunks) == 5000


def test_short_sections_under_one_parent_go_together() -> None:
    text = "# 色\n\n## 赤\n\n暖かい。\n\n## 青\n\n冷たい。\n"
    _, apart = chunks_of(text, ChunkLimits(60, 0))
    _, together = chunks_of(text, ChunkLimits(60, 60))
    assert [chunk.headings for chunk in apart] == [("色", "赤"), ("色", "青")]
    assert [chunk.headings for chunk in together] == [("色",)]


def test_rows_cut_off_from_their_table_keep_its_header_beside_them() -> None:
    rows = "".join(f"| 品{number} | {number}個まで置ける |\n" for number in range(30))
    _, chunks = chunks_of(f"# 棚\n\n| 品名 | 上限 |\n|---|---|\n{rows}")
    assert len(chunks) > 3
    assert all("上限" in chunk.breadcrumb for chunk in chunks[1:])


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "---\ntitle: 題\n---\n"])
def test_a_note_without_text_has_no_chunks(text: str) -> None:
    assert chunks_of(text)[1] == ()
