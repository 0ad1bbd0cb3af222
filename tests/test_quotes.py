from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.quotes import find_quote, quotes_in

NOTE = "可視性タイムアウトは既定で３０秒〜12時間。\n**「見えない」**と\n言う。Amazon S3 に置く。"


@pytest.mark.parametrize(
    ("quote", "span"),
    [
        ("既定で30秒", "既定で３０秒"),
        ("30秒～12時間", "３０秒〜12時間"),
        ("30秒~12時間。", "３０秒〜12時間。"),
        ("『見えない』と言う", "「見えない」**と\n言う"),
        ("見えないと言う", None),
        ("Amazon S3に置く", "Amazon S3 に置く"),
        ("12時間。「見えない」", "12時間。\n**「見えない」"),
    ],
)
def test_what_changes_no_meaning_is_harmonised(quote: str, span: str | None) -> None:
    found = find_quote(quote, NOTE)
    assert (NOTE[slice(*found)] if found else None) == span


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("可能性である", "可能性がある"),
        ("行なう", "行う"),
        ("見えます", "見える"),
        ("さーばー", "サーバー"),
        ("サーバ", "サーハ"),
        ("amazon", "Amazon"),
        ("10個", "1 0個"),
        ("S3Bucket", "S3 Bucket"),
        ("", "何か"),
        ("**", "何か**"),
    ],
)
def test_nothing_else_is(quote: str, text: str) -> None:
    assert find_quote(quote, text) is None


@given(text=st.text(max_size=60), cut=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_any_piece_of_a_text_is_found_in_it(text: str, cut: tuple[float, float]) -> None:
    start, end = sorted(int(share * len(text)) for share in cut)
    found = find_quote(text[start:end], text)
    if found is not None:
        first, last = found
        assert 0 <= first < last <= len(text)
        assert find_quote(text[first:last], text) is not None


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ("ノートは「30秒」と『12時間』と言う。", ["30秒", "12時間"]),
        ("「外は「内」を含む」", ["外は「内」を含む"]),
        ('"一つ"と“二つ”', ["一つ", "二つ"]),
        ("「」と「 」", []),
        ("引用なし", []),
    ],
)
def test_quotes_are_what_stands_between_marks(text: str, quotes: list[str]) -> None:
    assert quotes_in(text) == quotes
