"""What holds for the chunks of any note whatever: offsets, coverage, sizes, lines."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.chunking import ChunkLimits, chunk_document, embedding_text, passage_of
from rag.loading import front_matter_end, make_document
from rag.parsing import parse_document
from rag.types import Chunk, Document
from tests.note_texts import HTML_NOTE, NOTE, is_blank

LIMITS = ChunkLimits(chunk_tokens=60, merge_tokens=20)
Counter = Callable[[Sequence[str]], list[int]]


def count_characters(texts: Sequence[str]) -> list[int]:
    """A token a character, and two that every text has."""
    return [len(text) + 2 for text in texts]


def count_pairs(texts: Sequence[str]) -> list[int]:
    """A token for two characters of a text, and four that every text has."""
    return [(len(text) + 1) // 2 + 4 for text in texts]


COUNTERS = st.sampled_from([count_characters, count_pairs])


def chunks_of(
    text: str,
    limits: ChunkLimits = LIMITS,
    count_tokens: Counter = count_characters,
    name: str = "note.md",
) -> tuple[Document, tuple[Chunk, ...]]:
    document = make_document(name, text, title="題")
    return document, chunk_document(document, limits, count_tokens)


@given(NOTE, COUNTERS, st.integers(24, 200))
@settings(max_examples=80)
def test_chunks_are_literal_spans_that_cover_the_note(
    text: str, count_tokens: Counter, chunk_tokens: int
) -> None:
    limits = ChunkLimits(chunk_tokens, chunk_tokens // 3)
    document, chunks = chunks_of(text, limits, count_tokens)
    covered = front_matter_end(text)
    for chunk in chunks:
        assert document.text[chunk.start_index : chunk.end_index] == chunk.text
        assert is_blank(text[covered : chunk.start_index])
        assert chunk.start_index >= covered
        assert chunk.text == chunk.text.strip()
        covered = chunk.end_index
    assert is_blank(text[covered:])
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)


@given(HTML_NOTE)
def test_chunks_of_html_hold_every_block_of_it(text: str) -> None:
    document, chunks = chunks_of(text, name="note.html")
    held = bytearray(len(text))
    for chunk in chunks:
        assert document.text[chunk.start_index : chunk.end_index] == chunk.text
        held[chunk.start_index : chunk.end_index] = b"\1" * len(chunk.text)
    for section in parse_document(document):
        for block in section.blocks:
            span = range(block.start_index, block.end_index)
            assert all(held[place] or text[place].isspace() for place in span)


@given(NOTE, COUNTERS, st.integers(32, 200))
def test_no_chunk_is_over_the_limit_with_its_breadcrumb(
    text: str, count_tokens: Counter, chunk_tokens: int
) -> None:
    _, chunks = chunks_of(text, ChunkLimits(chunk_tokens, chunk_tokens // 3), count_tokens)
    assert all(n <= chunk_tokens for n in count_tokens([embedding_text(c) for c in chunks]))


@given(NOTE)
@settings(max_examples=50)
def test_line_numbers_count_every_kind_of_line_break(text: str) -> None:
    _, chunks = chunks_of(text)
    for chunk in chunks:
        before = text[: chunk.start_index]
        assert chunk.start_line == 1 + len(re.findall(r"\r\n|\r|\n", before))
        inside = text[: chunk.end_index - 1]
        assert chunk.end_line == 1 + len(re.findall(r"\r\n|\r|\n", inside))


@given(NOTE)
@settings(max_examples=50)
def test_every_unit_and_chunk_is_embedded_behind_its_breadcrumb(text: str) -> None:
    _, chunks = chunks_of(text)
    for chunk in chunks:
        assert embedding_text(chunk).startswith(chunk.breadcrumb)
        assert all(unit.startswith(chunk.breadcrumb) for unit in passage_of(chunk).unit_texts())


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


def test_a_long_sentence_is_cut_at_its_commas() -> None:
    _, chunks = chunks_of("長い文が、" * 60 + "終わる")
    assert all(chunk.text[-1] == "、" for chunk in chunks[:-1])


def test_a_fullwidth_bracket_is_no_reason_to_cut_a_short_sentence() -> None:
    sentence = "これは「中に。句点が。ある」文です。"
    _, chunks = chunks_of(sentence * 12)
    assert all(chunk.text.endswith("文です。") for chunk in chunks)


def test_short_sections_under_one_parent_go_together() -> None:
    text = "# 色\n\n## 赤\n\n暖かい。\n\n## 青\n\n冷たい。\n"
    _, apart = chunks_of(text, ChunkLimits(60, 0))
    _, together = chunks_of(text, ChunkLimits(60, 60))
    assert [chunk.headings for chunk in apart] == [("色", "赤"), ("色", "青")]
    assert [chunk.headings for chunk in together] == [("色",)]


def test_sections_under_different_parents_stay_apart() -> None:
    text = "# 赤\n\n## 手入れ\n\n洗う。\n\n# 青\n\n## 手入れ\n\n拭く。\n"
    _, chunks = chunks_of(text, ChunkLimits(60, 60))
    assert [chunk.headings for chunk in chunks] == [("赤", "手入れ"), ("青", "手入れ")]


def test_rows_cut_off_from_their_table_keep_its_header_beside_them() -> None:
    rows = "".join(f"| 品{number} | {number}個まで置ける |\n" for number in range(30))
    _, chunks = chunks_of(f"# 棚\n\n| 品名 | 上限 |\n|---|---|\n{rows}")
    assert len(chunks) > 3
    assert "品名 | 上限" not in chunks[0].headings
    assert all(chunk.headings[-1] == "品名 | 上限" for chunk in chunks[1:])


def test_every_piece_of_a_long_row_keeps_its_name_and_columns() -> None:
    cell = "。".join(f"手順の{number}番目を行う" for number in range(12))
    _, chunks = chunks_of(f"# 釜\n\n| 型 | 使いかた |\n|---|---|\n| 丸釜 | {cell} |\n")
    pieces = [chunk for chunk in chunks if "番目" in chunk.text]
    assert len(pieces) > 2
    assert all(chunk.headings == ("釜", "型 | 使いかた", "丸釜") for chunk in pieces[1:])


@pytest.mark.parametrize(
    "line", ["- 渡り鳥：{}", "渡り鳥\n: {}", "渡り鳥\n  {}\n留鳥\n  年中いる。"]
)
def test_every_piece_of_a_long_item_keeps_its_subject(line: str) -> None:
    meaning = "".join(f"旅の{number}日目に海を越える。" for number in range(12))
    _, chunks = chunks_of(f"# 鳥\n\n{line.format(meaning)}\n")
    pieces = [chunk for chunk in chunks if "日目" in chunk.text and "渡り鳥" not in chunk.text]
    assert len(pieces) > 1
    assert all(chunk.headings == ("鳥", "渡り鳥") for chunk in pieces)


def test_bullets_cut_off_from_their_owner_keep_it_beside_them() -> None:
    inner = "".join(f"    - {number}番目の決まりを守る\n" for number in range(12))
    _, chunks = chunks_of(f"# 会\n\n- 入る人へ\n{inner}- 去る人へ\n    - 鍵を返す\n")
    assert all("入る人へ" in chunk.headings for chunk in chunks[1:-1])
    assert "入る人へ" not in chunks[-1].headings or "番目" in chunks[-1].text


def test_an_owner_that_is_the_heading_is_not_said_twice() -> None:
    rows = "".join(f"・{number}番の札を裏返しておく\n" for number in range(12))
    _, chunks = chunks_of(f"■札\n{rows}■箱\n・しまう\n")
    assert [chunk.headings for chunk in chunks] == [("札",)] * (len(chunks) - 1) + [("箱",)]


def test_headings_that_leave_no_room_for_text_give_way_from_the_outside() -> None:
    text = f"# {'外' * 40}\n\n## {'内' * 20}\n\n本文です。\n"
    _, chunks = chunks_of(text, ChunkLimits(60, 0))
    assert chunks[-1].headings == ("内" * 20,)


def test_markup_that_is_not_embedded_makes_no_endless_chunk() -> None:
    _, chunks = chunks_of("<p>" + "<b></b>" * 3000 + "文です。", name="a.html")
    _, rules = chunks_of("----- " * 3000)
    assert max(len(chunk.text) for chunk in (*chunks, *rules)) <= 8 * LIMITS.chunk_tokens


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"短い行{number}\n" for number in range(1000)),
        "".join(f"- 項目{number}です\n" for number in range(1000)),
        "".join(f"| 行{number} | 値{number} |\n" for number in range(1000)),
        "".join(f"## 節{number}\n本文{number}です。\n" for number in range(300)),
        "長い一行を切る。" * 1000,
    ],
    ids=["lines", "bullets", "rows", "sections", "one line"],
)
def test_tokens_are_counted_in_a_few_batches(text: str) -> None:
    batches: list[int] = []

    def count_tokens(texts: Sequence[str]) -> list[int]:
        batches.append(len(texts))
        return count_pairs(texts)

    _, chunks = chunks_of(text, ChunkLimits(300, 120), count_tokens)
    assert len(chunks) > 5
    assert len(batches) <= 8


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "---\ntitle: 題\n---\n", "\u3000\n"])
def test_a_note_without_text_has_no_chunks(text: str) -> None:
    assert chunks_of(text)[1] == ()


LARGE = {
    "one line": "日本国憲法は国民主権を定める" * 7_000,
    "one letter": "あ" * 100_000,
    "lines": "".join(f"短い行です{n}\n" for n in range(20_000)),
    "names": "".join(f"項目{n}番\n\n" for n in range(20_000)),
    "nested list": "".join(" " * n + "- 項目\n" for n in range(5_000)),
    "rows": "| 名 | 値 |\n|---|---|\n" + "".join(f"| 行{n} | {n} |\n" for n in range(10_000)),
    "headings": "".join(f"## 節{n}\n本文{n}\n" for n in range(10_000)),
    "any": "".join(
        random.Random(1).choices("あ- #|\n`*[](){}<>。、1■【】\t\u3000:=_\\", k=100_000)
    ),
    **{f"{mark}…": mark * (100_000 // len(mark)) for mark in ("[", "![", "<", "<a ", "<!--", "`")},
    **{f"{mark}…": mark * (100_000 // len(mark)) for mark in ("- ", "|", "（あ。", "\0", "\ud800")},
}
LARGE_HTML = {
    "nested": "<ul><li>項目" * 5_000,
    "rows": "<table>" + "".join(f"<tr><td>行{n}<td>{n}" for n in range(10_000)),
    "paragraphs": "<p>短い" * 20_000,
    **{f"{mark}…": mark * (100_000 // len(mark)) for mark in ("<", "<a ", "<!--", "</", "<a x='")},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LARGE, *(f"{name}.html" for name in LARGE_HTML)])
def test_a_large_note_is_cut_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = LARGE[name] if name in LARGE else LARGE_HTML[name.removesuffix(".html")]
    started = time.perf_counter()
    _, chunks = chunks_of(text, ChunkLimits(300, 120), count_pairs, name=name)
    with capsys.disabled():
        print(f" {name!a}: {len(chunks)} chunks, {time.perf_counter() - started:.2f} s")  # noqa: T201
    assert all(n <= 300 for n in count_pairs([embedding_text(chunk) for chunk in chunks]))
    if name in LARGE:
        lost = re.sub(r"\s", "", text).replace(
            re.sub(r"\s", "", "".join(chunk.text for chunk in chunks)), ""
        )
        assert not lost
