"""HTML notes: what a reader sees, in order, with positions in the source."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.loading import make_document
from rag.parsing import parse_document
from rag.text import plain_text
from rag.types import Block, Section
from tests.note_texts import HTML_NOTE

BLOCK_TAGS = ("p", "div", "ul", "li", "table", "tr", "td", "dl", "dt", "dd", "h2", "pre", "section")
WORDS = st.text(alphabet="山川空海 \n", min_size=1, max_size=8)
TREE = st.recursive(
    WORDS,
    lambda inner: st.tuples(st.sampled_from((*BLOCK_TAGS, "b", "a", "span")), st.lists(inner)),
    max_leaves=25,
)
Tree = str | tuple[str, Sequence["Tree"]]


def sections_of(text: str) -> tuple[Section, ...]:
    return parse_document(make_document("note.html", text))


def shown_of(text: str) -> str:
    """The visible text of all blocks, in order."""
    blocks = (block for section in sections_of(text) for block in section.blocks)
    return "".join(plain_text(text[block.start_index : block.end_index]) for block in blocks)


def block_with(text: str, words: str) -> Block:
    place = text.index(words)
    blocks = (block for section in sections_of(text) for block in section.blocks)
    return next(block for block in blocks if block.start_index <= place < block.end_index)


def markup_of(tree: Tree) -> str:
    if isinstance(tree, str):
        return tree
    tag, inner = tree
    return f"<{tag}>{''.join(map(markup_of, inner))}</{tag}>"


def words_of(tree: Tree) -> str:
    return tree if isinstance(tree, str) else "".join(map(words_of, tree[1]))


@given(TREE)
def test_every_visible_character_stands_in_a_block(tree: Tree) -> None:
    text = markup_of(tree)
    spans = [(b.start_index, b.end_index) for s in sections_of(text) for b in s.blocks]
    covered = "".join(
        character
        for place, character in enumerate(text)
        if character in "山川空海" and any(start <= place < end for start, end in spans)
    )
    assert covered == "".join(words_of(tree).split())


@given(HTML_NOTE)
def test_blocks_of_broken_html_lie_in_order(text: str) -> None:
    end = 0
    for section in sections_of(text):
        assert section.start_index >= end
        end = section.start_index
        for block in section.blocks:
            assert end <= block.start_index < block.end_index <= section.end_index
            assert text[block.start_index : block.end_index].strip()
            end = block.end_index


@pytest.mark.parametrize("tag", ["script", "style", "template", "noscript", "svg", "nav", "footer"])
def test_what_a_reader_does_not_see_is_left_out(tag: str) -> None:
    assert shown_of(f"<p>前</p><{tag}>隠す</{tag}><p>後</p>") == "前後"


@pytest.mark.parametrize("tag", ["nav", "footer"])
def test_a_menu_that_is_never_closed_does_not_swallow_the_note(tag: str) -> None:
    assert "本文" in shown_of(f"<{tag}><a>案内</a><h1>題</h1><p>本文</p>")


def test_a_form_around_the_whole_page_is_no_reason_to_drop_it() -> None:
    assert shown_of("<form id=all><h1>題</h1><p>本文</p></form>") == "題本文"


def test_the_head_is_not_part_of_the_text() -> None:
    text = "<html><head><title>題名</title><meta name=a></head><body>本文</body></html>"
    assert shown_of(text) == "本文"
    assert make_document("a.html", text).title == "題名"


def test_entities_in_a_heading_are_read() -> None:
    text = "<h1>A &amp; B</h1><h2>&#12354;&nbsp;い</h2><p>本文</p>"
    assert sections_of(text)[0].headings == ("A & B", "あ い")


def test_cells_without_end_tags_are_rows_of_their_own() -> None:
    text = "<table><tr><th>品<th>数<tr><td>鍋<td>一つ<tr><td>皿<td>二枚</table><p>後"
    assert [owner.text for owner in block_with(text, "二枚").owners] == ["品 | 数", "皿"]
    assert block_with(text, "後").owners == ()


def test_two_header_rows_both_name_the_columns() -> None:
    text = (
        "<table><tr><th>年</th><th>春</th></tr><tr><th></th><th>気温</th></tr>"
        "<tr><td>2020</td><td>10</td></tr></table>"
    )
    assert [owner.text for owner in block_with(text, "2020").owners] == ["年 | 春", "気温", "2020"]


def test_the_cells_of_a_row_are_one_block_however_they_are_written() -> None:
    text = "<table><tr><td>甲<td>一<br>二<p>三<tr><td>乙<td><ul><li>四<li>五</ul></table>"
    assert shown_of(text).split("乙")[0].startswith("甲")
    block = block_with(text, "四")
    assert plain_text(text[block.start_index : block.end_index]).startswith("乙")


def test_a_table_in_a_table_that_lays_out_the_page_keeps_its_rows() -> None:
    inner = "<table><tr><th>品<th>数</tr><tr><td>鍋<td>一つ</tr></table>"
    text = f"<table><tr><td>目次<td><h2>道具</h2>{inner}<p>以上</table>"
    assert [owner.text for owner in block_with(text, "鍋").owners] == ["品 | 数", "鍋"]
    assert sections_of(text)[-1].headings == ("道具",)


def test_a_cell_that_spans_more_rows_than_there_are_ends_with_the_table() -> None:
    text = "<table><tr><td rowspan=99>甲<td>一<tr><td>二<td>三</table><table><tr><td>四<td>五"
    assert [owner.text for owner in block_with(text, "三").owners] == ["甲", "二"]
    assert "甲" not in [owner.text for owner in block_with(text, "五").owners]


def test_paragraphs_are_blocks_and_lines_within_one_are_not() -> None:
    text = "<p>一行目<br>二行目</p><p>次の段落</p>"
    assert block_with(text, "一行目") == block_with(text, "二行目")
    assert block_with(text, "次の段落") != block_with(text, "二行目")


def test_a_line_in_bold_alone_heads_what_follows() -> None:
    text = "<p><b>はじめに</b></p><p>本文です。</p><p><b>太字</b>で始まる文です。</p>"
    assert [section.headings for section in sections_of(text)] == [("はじめに",)]


def test_text_below_a_list_is_not_owned_by_it() -> None:
    assert block_with("<ul><li>甲<li>乙</ul>後の文", "後の文").owners == ()


def test_a_second_paragraph_of_an_item_is_owned_by_it() -> None:
    text = "<ul><li><p>甲の題</p><p>甲の続き</p></li></ul>"
    assert [owner.text for owner in block_with(text, "甲の続き").owners] == ["甲の題"]


def test_code_keeps_its_lines_and_heads_nothing() -> None:
    text = "<h2>式</h2><pre># 注\nv = d / t\n</pre>"
    assert [section.headings for section in sections_of(text)] == [("式",)]
    assert "v = d / t" in shown_of(text)


@pytest.mark.parametrize(
    "stray", ["<![図](a.png)<p>", "<![CDATA[本文]]>", "<!x>", "<!", "< 5 と >"]
)
def test_a_stray_bracket_is_text(stray: str) -> None:
    assert shown_of(f"<p>前</p>{stray}<p>後の文</p>").endswith("後の文")
