from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.drafts import is_refusal, split_drafts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("既定は30秒です。[1]", [("既定は30秒です。", (1,))]),
        ("既定は30秒です[1]。最大は12時間です[2]。",
         [("既定は30秒です。", (1,)), ("最大は12時間です。", (2,))]),
        ("既定は30秒です。[1][3] 最大は12時間です。[2]",
         [("既定は30秒です。", (1, 3)), ("最大は12時間です。", (2,))]),
        ("既定は30秒です。［１］", [("既定は30秒です。", (1,))]),
        ("既定は30秒です【1、2】。", [("既定は30秒です。", (1, 2))]),
        ("- 既定は30秒 [1, 2]\n* 最大は12時間[3]",
         [("既定は30秒", (1, 2)), ("最大は12時間", (3,))]),
        ("既定は30秒です。\n[2]", [("既定は30秒です。", (2,))]),
        ("出典のない文です。", [("出典のない文です。", ())]),
        ("## 結論\n既定は30秒です。[1]", [("既定は30秒です。", (1,))]),
        ("既定は30秒です。[1]\n\n出典:\n[1] Amazon SQS", [("既定は30秒です。", (1,))]),
        ("既定は30秒です。[9999]", [("既定は30秒です。", (9999,))]),
        ("", []),
        ("[1][2]", []),
        ("……\n---\n", []),
    ],
)  # fmt: skip
def test_statements_take_the_marks_behind_them(
    text: str, expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    assert [(draft.text, draft.numbers) for draft in split_drafts(text)] == expected


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("**既定**は`30秒`です。", "既定は30秒です。"),
        ("<b>既定</b>は30秒です。<script>alert(1)</script>", "既定は30秒です。alert(1)"),
        ("<scr<script>ipt>alert(1)</scr</script>ipt>既定は30秒。", "alert(1)既定は30秒。"),
        ("![x](https://evil.example/?q=1)既定は30秒。", "既定は30秒。"),
        ("[ここを押す](javascript:alert(1))と既定は30秒。", "ここを押すと既定は30秒。"),
        ("[1](https://evil.example/)既定は30秒。", "1既定は30秒。"),
        ('<img src=x onerror="alert(1)">既定は30秒。', "既定は30秒。"),
    ],
)
def test_mark_up_does_not_come_through(text: str, plain: str) -> None:
    assert "".join(draft.text for draft in split_drafts(text)) == plain


@given(st.text(st.sampled_from("既定は30秒です。[1]９［］【】,、\n -#*`<>!()「」|"), max_size=80))
def test_any_text_gives_statements_without_marks_of_their_own(text: str) -> None:
    for draft in split_drafts(text):
        assert draft.text == " ".join(draft.text.split())
        assert draft.text
        assert len(set(draft.numbers)) == len(draft.numbers)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("ノートに見つかりません。", True),
        ("\n「ノートに見つかりません」\n", True),
        ("申し訳ありませんが、ノートに見つかりませんでした。", True),
        ("既定は30秒です。[1]", False),
        ("ノートに見つかりません。" + "しかし一般には次のように言われています。" * 3, False),
    ],
)
def test_a_refusal_is_told_from_an_answer(text: str, refused: bool) -> None:
    assert is_refusal(text) is refused
