from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.text import bigrams, latin_parts, normalize_for_search, plain_text, sentence_spans, words


def test_width_case_and_dashes_are_folded_for_search() -> None:
    assert normalize_for_search("ＡＷＳ　Ｌambda—１〜２ ｶﾞ") == "aws lambda-1~2 ガ"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("CodeDeploy", ["code", "deploy"]),
        ("us-east-1", ["us", "east", "1"]),
        ("AWSRunPatchBaseline", ["aws", "run", "patch", "baseline"]),
        ("S3", ["s3"]),
    ],
)
def test_compound_latin_names_fall_into_their_parts(name: str, parts: list[str]) -> None:
    assert latin_parts(name) == parts


def test_words_keep_content_in_its_usual_form_and_drop_particles() -> None:
    found = words("サーバーを 起動した")
    assert found == words("サーバは起動する")
    assert "を" not in found


def test_bigrams_keep_latin_words_and_numbers_whole() -> None:
    assert bigrams("EC2へ配る15分") == ["ec2", "へ配", "配る", "15", "分"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("一つ目です。二つ目です!", ["一つ目です。", "二つ目です!"]),
        (
            "彼は「終わった。帰る」と言った。次です。",
            ["彼は「終わった。帰る」と言った。", "次です。"],
        ),
        ("一行目\n二行目", ["一行目", "二行目"]),
        ("url?a=1 を開く。", ["url?a=1 を開く。"]),
        ("  ", []),
    ],
)
def test_sentences_end_at_full_stops_outside_brackets_and_at_line_ends(
    text: str, sentences: list[str]
) -> None:
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences


@given(st.text(max_size=300))
def test_sentences_are_in_order_and_lose_nothing(text: str) -> None:
    spans = sentence_spans(text)
    shown = "".join("".join(text[start:end].split()) for start, end in spans)
    assert shown == "".join(text.split())
    assert spans == sorted(spans)


@pytest.mark.parametrize(
    ("marked_up", "shown"),
    [
        ("- **強い** 言葉", "強い 言葉"),
        ("## [題](https://example.com/a)", "題"),
        ("![図](a.png) の説明", "図 の説明"),
        ("<p>一<br>二</p>", "一\n二"),
        ("`kotae serve` と打つ", "kotae serve と打つ"),
        ("[[ノート|呼び名]]", "呼び名"),
        ("a &lt; b", "a < b"),
    ],
)
def test_plain_text_is_what_a_reader_sees(marked_up: str, shown: str) -> None:
    assert plain_text(marked_up).strip() == shown


@given(st.text(max_size=300))
def test_no_text_stops_the_word_cutters(text: str) -> None:
    assert all(words(text))
    assert all(bigrams(text))
    plain_text(text)
