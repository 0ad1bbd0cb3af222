"""The highlighted words of a note's page are exactly the words of the span."""

from __future__ import annotations

import html
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.note_view import MAX_RENDERED_CHARS, NoteView, view_note
from rag.loading import make_document
from rag.types import Section

EVERY_CONSTRUCT = """---
title: 見本
tags: [A]
---
# 見出し一

最初の段落で、**「太字」**と*斜体*と~~取消~~と`code * _x_`、
[リンク](https://example.com/a_(b)?c=1 "題")があります。
次の行。A &amp; B &lt; C、\\*星\\*、<https://example.com/auto>、<b>生のHTML</b>、絵文字👍と𠮷野家。

見出し二
--------

- 一つ目の**強調**
  続きの行
  - 入れ子の項目
- [ ] やること
1. 番号つき
2. 二番目

> 引用の一行目
> 引用の二行目

| 種類 | 値 | 説明 |
|:----|---:|------|
| 一 | 10 | `a\\|b` |
| 二 | 20 | **太** |

```bash
# コメント
- name: x
echo "*" | grep _a_
```

    字下げのコード * _y_

![図の説明](picture.png) と [参照][ref] と脚注[^1]。

[ref]: https://example.com/ref
[^1]: 脚注の中身です

* * *

<div class="x">ブロックの<em>中の文</em></div>

<!-- 見えない注釈 -->

最後の行
"""

MARK = re.compile(r"<mark>(.*?)</mark>", re.DOTALL)
INVISIBLE = re.compile(
    r'\]\(https://example\.com/a_\(b\)\?c=1 "題"\)|\]\(picture\.png\)|\]\[ref\]'
    r"|^\[ref\]: [^\n]*$|^```bash$|^\d\.|<(?!https)/?[^<>]*>|<!--.*?-->",
    re.MULTILINE | re.DOTALL,
)


def view(text: str, start: int, end: int, name: str = "note.md") -> NoteView:
    return view_note(make_document(name, text), [], start, end)


def marked_text(view: NoteView) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", "".join(MARK.findall(view.body))))


def letters(text: str) -> str:
    kinds = {char: unicodedata.category(char) for char in set(text)}
    return "".join(char for char in text if kinds[char][0] in "LN" or kinds[char] == "So")


def seen_letters(text: str, start: int, end: int) -> str:
    """Letters of a span but for those that no page shows; half an entity or tag shows nothing."""
    visible = list(text)
    for found in INVISIBLE.finditer(text):
        visible[found.start() : found.end()] = " " * len(found.group())
    return letters(html.unescape("".join(visible)[start:end]))


def out_of_entity(index: int) -> int:
    entities = re.finditer(r"&\w+;", EVERY_CONSTRUCT)
    return next((found.end() for found in entities if found.start() < index < found.end()), index)


def span_of(text: str, first: str, last: str) -> tuple[int, int]:
    start = text.index(first)
    return start, text.index(last, start) + len(last)


@pytest.mark.parametrize(
    ("why", "first", "last", "expected"),
    [
        ("part of a sentence", "最初の", "段落", "最初の段落"),
        ("whole bold words with their marks", "**「太字」**", "**「太字」**", "「太字」"),
        ("from inside bold to behind it", "字」**", "斜体", "字」と斜体"),
        ("through a link, its address unseen", "[リンク]", "あります", "リンクがあります"),
        ("out of a link", "ンク]", "c=1", "ンク"),
        ("inline code keeps its marks", "code *", "_x_", "code * _x_"),
        ("across lines of a paragraph", "あります", "次の行", "あります。次の行"),
        ("an entity", "A &amp;", "B", "A & B"),
        ("escaped marks", "\\*星", "星\\*", "*星*"),
        ("raw inline HTML", "<b>生", "HTML</b>", "生のHTML"),
        ("characters outside the basic plane", "👍と", "𠮷", "👍と𠮷"),
        ("a heading with its marks", "# 見出し一", "見出し一", "見出し一"),
        ("from a heading into its text", "見出し一", "最初", "見出し一最初"),
        ("an underlined heading", "見出し二", "----\n", "見出し二"),
        (
            "bullets with their marks",
            "- 一つ目",
            "入れ子の項目",
            "一つ目の強調続きの行入れ子の項目",
        ),
        ("numbered bullets", "1. 番号", "二番目", "番号つき二番目"),
        ("quoted lines", "> 引用の一行目", "二行目", "引用の一行目引用の二行目"),
        ("one cell", "10", "10", "10"),
        ("a table's row", "| 二 |", "太** |", "二20太"),
        ("a whole table", "| 種類", "太** |", "種類値説明一10a|b二20太"),
        ("code with its fences", "```bash", "_a_\n```", '# コメント- name: xecho "*" | grep _a_'),
        ("a line of code", "- name", "x", "- name: x"),
        ("indented code", "字下げ", "_y_", "字下げのコード * _y_"),
        ("a picture's caption", "![図", "png)", "図の説明"),
        ("a reference link", "[参照]", "[ref]", "参照"),
        ("a footnote", "[^1]: 脚注", "中身です", "[^1]: 脚注の中身です"),
        ("a block of HTML", '<div class="x">', "</div>", "ブロックの中の文"),
        ("past a hidden comment", "中の文", "最後の行", "中の文最後の行"),
    ],
)
def test_marked_words_are_the_words_of_the_span(
    why: str, first: str, last: str, expected: str
) -> None:
    text = EVERY_CONSTRUCT
    start, end = span_of(text, first, last)
    shown = view(text, start, end)
    assert "lines" not in shown.body, why
    assert re.sub(r"\s+", "", marked_text(shown)) == re.sub(r"\s+", "", expected), why


@settings(deadline=None)
@given(st.data())
def test_any_span_is_marked_exactly(data: st.DataObject) -> None:
    body = EVERY_CONSTRUCT.index("# 見出し一")
    start = out_of_entity(data.draw(st.integers(body, len(EVERY_CONSTRUCT))))
    end = out_of_entity(data.draw(st.integers(start, len(EVERY_CONSTRUCT))))
    shown = view(EVERY_CONSTRUCT, start, end)
    expected = seen_letters(EVERY_CONSTRUCT, start, end)
    if 'class="lines"' in shown.body:  # the source, where a span cuts what cannot be cut
        expected = letters(EVERY_CONSTRUCT[start:end])
    assert letters(marked_text(shown)) == expected


def test_marks_change_nothing_else() -> None:
    start, end = span_of(EVERY_CONSTRUCT, "太字", "最後の行")
    marked = view(EVERY_CONSTRUCT, start, end).body
    assert re.sub(r"</?mark>", "", marked) == view(EVERY_CONSTRUCT, 0, 0).body


def test_front_matter_is_not_shown() -> None:
    assert "title:" not in view(EVERY_CONSTRUCT, 0, 0).body


def test_notes_that_hold_private_characters_keep_them() -> None:
    text = "".join(map(chr, range(0xE000, 0xE100))) + "本文 &#57600; です\n"
    shown = view(text, text.index("本文"), len(text))
    assert marked_text(shown) == "本文 \ue100 です"
    assert "\ue000\ue001" in shown.body


def test_span_in_what_is_not_shown_falls_back_to_the_source() -> None:
    text = "本文\n\n<script>\nlet a = 1;\n</script>\n\n続き\n"
    shown = view(text, *span_of(text, "let", "1;"))
    assert marked_text(shown) == "let a = 1;"
    assert "&lt;script&gt;" in shown.body


@pytest.mark.parametrize("span", [(5, 5), (-3, 0), (10**9, 10**9 + 5), (20, 3)])
def test_empty_or_outlying_spans_mark_nothing(span: tuple[int, int]) -> None:
    assert "<mark>" not in view(EVERY_CONSTRUCT, *span).body


def test_windows_line_ends_and_tabs_keep_their_place() -> None:
    text = "# 題\r\n\r\n-\t一つ目\r\n-\t二つ目\r\n"
    shown = view(text, *span_of(text, "二つ", "目"))
    assert marked_text(shown) == "二つ目"


HTML_NOTE = """<!doctype html><html><head><title>題</title><style>p{}</style></head>
<body onload="alert(1)"><h1>題</h1>
<p>段落の<b>太字</b>と &amp; と<a href="javascript:x()">リンク</a>。</p>
<table><tr><td>左</td><td>右</td></tr></table><script>alert(1)</script></body></html>
"""


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("段落", "リンク</a>。", "段落の太字と & とリンク。"),
        ("<p>段落", "太字", "段落の太字"),
        ("<table>", "</table>", "左右"),
        ("<td>右", "右</td>", "右"),
    ],
)
def test_html_notes_are_marked_and_safe(first: str, last: str, expected: str) -> None:
    shown = view(HTML_NOTE, *span_of(HTML_NOTE, first, last), name="note.html")
    assert marked_text(shown) == expected
    assert not re.search(r"script|onload|javascript|style", shown.body)


def test_loose_text_keeps_its_lines_and_gets_its_headings() -> None:
    text = "はじめに\n本文です。\n■ 見出し\n- 項目 <b>\n"
    document = make_document("note.txt", text)
    heading = text.index("■")
    sections = [
        Section("0", "note.txt", ("はじめに",), 0, heading),
        Section("1", "note.txt", ("はじめに", "見出し"), heading, len(text)),
    ]
    body = view_note(document, sections, *span_of(text, "項目", "<b>")).body
    assert '<h2 id="L1" data-line="1">はじめに</h2>' in body
    assert '<h3 id="L3" data-line="3">■ 見出し</h3>' in body
    assert '<p id="L4" data-line="4">- <mark>項目 &lt;b&gt;</mark></p>' in body


def test_blocks_name_their_line_in_the_file() -> None:
    body = view(EVERY_CONSTRUCT, 0, 0).body
    assert '<h1 id="L5" data-line="5">見出し一</h1>' in body
    assert len(re.findall(r'id="L14"', body)) == 1


def test_very_long_notes_show_the_part_around_the_span() -> None:
    text = "行です。\n" * MAX_RENDERED_CHARS
    start = len(text) // 2
    shown = view(text, start, start + 4)
    assert shown.truncated
    assert marked_text(shown) == text[start : start + 4].replace("\n", "")
    assert len(shown.body) < len(text) * 10
    number = text.count("\n", 0, start) + 1
    assert re.search(rf'data-line="{number}"><mark>', shown.body)
