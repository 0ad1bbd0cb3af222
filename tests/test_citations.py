from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.citations import checksum_of, cite_chunk, cite_span, find_again, line_of, span_url
from rag.loading import make_document
from rag.types import Document
from tests.fakes import make_chunk, make_hit

TEXT = "# 題\n\n一つ目の文。二つ目の文。\n三つ目の文。\n"


def note(text: str = TEXT, doc_id: str = "note.md") -> Document:
    return make_document(doc_id, text)


def naive_line(text: str, index: int) -> int:
    r"""The line a position is on, walking through the whole note; `\r\n` is one end."""
    line = 1
    for position, char in enumerate(text[:index]):
        if char == "\n" or (char == "\r" and text[position + 1 : position + 2] != "\n"):
            line += 1
    return line


def test_a_citation_is_the_literal_span_with_its_place() -> None:
    start = TEXT.index("二つ目")
    chunk = make_chunk(TEXT[5:-1], start_index=5, start_line=3, headings=("題", "節"))
    citation = cite_span(note(), make_hit(chunk), 7, start, start + 7)
    assert citation.quote == TEXT[citation.start_index : citation.end_index] == "二つ目の文。\n"
    assert (citation.number, citation.doc_id, citation.headings) == (7, "note.md", ("題", "節"))
    assert (citation.start_line, citation.end_line) == (3, 3)
    assert citation.url == f"/notes/note.md?start={start}&end={start + 7}&check=e249a039"


@pytest.mark.parametrize(
    ("start", "end"),
    [(4, 8), (8, 30), (5, 5), (9, 8), (0, 99), (-2, 8)],
    ids=["before", "behind", "empty", "backwards", "around", "negative"],
)
def test_a_span_outside_of_the_hit_is_a_programming_error(start: int, end: int) -> None:
    hit = make_hit(make_chunk(TEXT[5:18], start_index=5, start_line=3))
    with pytest.raises(ValueError, match=f"span {start}–{end} is not inside the hit's 5–18"):
        cite_span(note(), hit, 1, start, end)


def test_a_span_of_another_note_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match=r"not in 'other\.md'"):
        cite_span(note(doc_id="other.md"), make_hit(make_chunk(TEXT)), 1, 0, 3)


@given(
    text=st.text(st.sampled_from("字a。 \n\r\u2028\x85\x0b"), min_size=1, max_size=40),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_lines_are_those_of_the_whole_note(text: str, cut: tuple[float, float]) -> None:
    """`\\n`, `\\r\\n` and `\\r` end a line; what else Unicode calls a line end does not."""
    start, end = sorted(int(share * (len(text) - 1)) for share in cut)
    chunk = make_chunk(text[start : end + 1], start_index=start, start_line=naive_line(text, start))
    for index in range(start, end + 1):
        assert line_of(chunk, index) == naive_line(text, index)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=repr)
def test_the_last_line_of_a_citation_is_that_of_its_last_character(line_end: str) -> None:
    text = line_end.join(["一", "二", "三", "四"])
    citation = cite_span(
        note(text), make_hit(make_chunk(text)), 1, text.index("二"), text.index("四")
    )
    assert (citation.start_line, citation.end_line) == (2, 3)


@pytest.mark.parametrize("doc_id", ["aws/sqs.md", "生物/光合成.md", "a b?c#d&e%20.md", "\"'<>.md"])
def test_an_address_leads_back_to_the_note_and_the_span(doc_id: str) -> None:
    address = urlsplit(span_url(doc_id, 3, "二つ目の文。\n、と。"))
    assert unquote(address.path) == f"/notes/{doc_id}"
    assert parse_qs(address.query) == {"start": ["3"], "end": ["13"], "check": ["e387c181"]}
    assert re.fullmatch(r"[\w/.%?=&~-]+", address.geturl(), re.ASCII)


def test_a_whole_hit_can_be_cited() -> None:
    chunk = make_chunk("一。\n二。", start_index=9, start_line=4)
    citation = cite_chunk(chunk, 2)
    assert (citation.number, citation.quote) == (2, chunk.text)
    assert (citation.start_index, citation.end_index) == (9, 9 + len(chunk.text))
    assert (citation.start_line, citation.end_line) == (4, 5)
    assert citation.url == span_url("note.md", 9, chunk.text)


@given(
    before=st.text(st.characters(), max_size=20),
    quote=st.text(st.characters(), min_size=2, max_size=20),
    behind=st.text(st.characters(), max_size=20),
    added=st.text(st.characters(), max_size=20),
)
def test_the_words_of_a_link_are_found_where_the_note_has_them_now(
    before: str, quote: str, behind: str, added: str
) -> None:
    start, end = len(before), len(before) + len(quote)
    check = checksum_of(quote)
    assert find_again(before + quote + behind, start, end, check) == (start, end)
    changed = added + before + quote + behind
    found = find_again(changed, start, end, check)
    assert found is not None
    assert changed[slice(*found)] == quote
    shorter = (before + behind).replace(quote, "")
    assert find_again(shorter, start, end, check) is None


def test_of_the_same_words_twice_the_nearer_are_meant() -> None:
    quote = "上限は15分。"
    old = f"第1節 {quote}第2節 {quote}"
    new = old.replace("第2節", "第2節 新しい文。")
    start, place = old.rindex(quote), new.rindex(quote)
    found = find_again(new, start, start + len(quote), checksum_of(quote))
    assert found == (place, place + len(quote))


@pytest.mark.parametrize(("start", "end"), [(0, 0), (3, 1), (0, 99), (50, 60)])
def test_a_span_that_no_note_of_this_length_has_is_not_found(start: int, end: int) -> None:
    assert find_again("短いノート。", start, end, checksum_of("短い")) is None
