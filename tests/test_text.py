from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.text import bigrams, latin_parts, normalize_for_search, plain_text, sentence_spans, words


def test_width_case_and_dashes_are_folded_for_search() -> None:
    assert normalize_for_search("ＡＷＳ　Ｌambda—１〜２ ｶﾞ") == "aws lambda-1~2 ガ"


@pytest.mark.parametrize(
    "text", ["S\u200bQ\u200bSの\u2060設定", "\ufeffSQSの\u202e設\u00ad定\u202c", "ＳＱＳの設定"]
)
def test_what_no_reader_sees_hides_no_word(text: str) -> None:
    assert words(text) == words("SQSの設定")
    assert bigrams(text) == bigrams("SQSの設定")


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
        ("一行目\r二行目\r\n三行目", ["一行目", "二行目", "三行目"]),
        ("本当に？！ええ。", ["本当に？！", "ええ。"]),
        ("「終わった。」次です。", ["「終わった。」", "次です。"]),
        ("(閉じない。同じ行。\n次の行。", ["(閉じない。同じ行。", "次の行。"]),
        ("a) 一つ。b) 二つ。", ["a) 一つ。", "b) 二つ。"]),
        ("<a\ntitle='一。二'>語</a>です。次。", ["<a\ntitle='一。二'>語</a>です。", "次。"]),
        ("v1.2!x の値", ["v1.2!x の値"]),
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
        ("`<service>.<namespace>.svc`", "<service>.<namespace>.svc"),
        ("List<String> と <b>太字</b>", "List<String> と 太字"),
        ("p < 0.05 かつ x > 3", "p < 0.05 かつ x > 3"),
        ("`__init__` と __name__ と __強調__", "__init__ と __name__ と 強調"),
        ("2**10 は 1024", "2**10 は 1024"),
        ("| 甲 | 乙 |\n|---|:-:|\n| 1 | 2 |", "甲 | 乙\n1 | 2"),
        ("甲<td>乙</td>\n<td align=right>丙", "甲 | 乙 | 丙"),
        ("海風</dt><dd>昼に吹く", "海風\n昼に吹く"),
        ("> [!warning] 逆光\n> 暗くなる", "逆光\n暗くなる"),
        (":::details 補足\n本文\n:::", "補足\n本文"),
        ("```python\nx = 1\n```", "x = 1"),
        ("- [x] 済んだ", "済んだ"),
        ("- -7 // 2 は -4", "-7 // 2 は -4"),
        ("--force を付ける", "--force を付ける"),
        ("■〇 印", "印"),
        ("注[^1]です", "注です"),
        ("<!-- 隠す -->見える", "見える"),
        ("[![図](a.png)](b_(c).html)", "図"),
        ("&copy; 甲&nbsp;乙 &#12354; AT&T", "© 甲 乙 あ AT&T"),
    ],
)
def test_plain_text_is_what_a_reader_sees(marked_up: str, shown: str) -> None:
    assert plain_text(marked_up).strip() == shown


@given(st.text(max_size=300))
def test_no_text_stops_the_word_cutters(text: str) -> None:
    assert all(words(text))
    assert all(bigrams(text))
    plain_text(text)


@given(st.text(alphabet=st.characters(categories=None), max_size=200))
def test_any_unicode_is_cut_and_shown(text: str) -> None:
    assert all(0 <= start < end <= len(text) for start, end in sentence_spans(text))
    assert all(plain_text(text).splitlines())
    assert words(text) == words(text)


def test_text_longer_than_the_word_cutter_takes_is_cut_before() -> None:
    assert words("猫が鳴く。" * 5_000).count("猫") == 5_000


def test_a_kana_voiced_by_a_mark_of_its_own_is_one_letter() -> None:
    assert bigrams("ｶﾞﾗｽ") == bigrams("ガラス") == ["ガラ", "ラス"]
