from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from rag import extraction
from rag.aliases import Aliases
from rag.comparison import names_subject
from rag.config import Settings
from rag.extraction import MAX_STATEMENTS, Asked, extract_units, statement_text
from rag.indexing import build_snapshot
from rag.loading import make_document
from rag.parsing import parse_document
from rag.protocols import TokenVectors
from rag.retrieval import Retriever
from rag.text import bigrams
from rag.units import MAX_UNIT_CHARS, Unit
from tests.fakes import BigramEmbedder, make_chunk, make_hit, silent

QUEUE = """# キュー

## 可視性タイムアウト

可視性タイムアウト

- 既定は30秒である。
- 最大は12時間である。

## 料金

無料である。
"""


def take_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much worse than the best a unit is, it is taken."""
    monkeypatch.setattr(extraction, "GAPS", (9.0,) * 4)


def asked(question: str, *sides: str) -> Asked:
    """The question made ready, a comparison of `sides`."""
    vectors, tokens = BigramEmbedder().embed_queries([question])
    names = tuple(partial(names_subject, subject=side, aliases=Aliases.of([])) for side in sides)
    return Asked(vectors[0], tokens[0], frozenset(bigrams(question)), sides=names)


def extract(question: str, *texts: str, sides: Sequence[str] = ()) -> list[Unit]:
    """What is taken from notes of these texts, with the fake embedder."""
    documents = [make_document(f"{number}.md", text) for number, text in enumerate(texts)]
    snapshot = build_snapshot(documents, Settings(embedder="bigram"), BigramEmbedder(), silent)
    hits = Retriever(snapshot, BigramEmbedder(), Aliases.of([])).search(question, top_k=50).hits
    sections = [section for document in documents for section in parse_document(document)]
    units = extract_units(snapshot, asked(question, *sides), hits, sections)
    for unit in units:
        chunk = unit.hit.chunk
        assert chunk.start_index <= unit.start_index < unit.end_index <= chunk.end_index
        span = snapshot.documents[chunk.doc_id].text[unit.start_index : unit.end_index]
        assert all(line in span for line in unit.text.split("\n"))
    return units


def make_unit(text: str, path: Sequence[str]) -> Unit:
    nothing = np.zeros(0, dtype=bool)
    return Unit(make_hit(make_chunk(text)), 0, len(text), text, tuple(path), nothing, nothing)


def test_the_sentence_that_meets_the_question_is_first() -> None:
    units = extract("最大は何時間か", QUEUE)
    assert units[0].text == "最大は12時間である。"


@pytest.mark.parametrize("question", ["可視性タイムアウト", "料金", "キュー"])
def test_headings_are_no_statements(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_all(monkeypatch)
    texts = [unit.text for unit in extract(question, QUEUE)]
    assert texts
    assert not {"キュー", "可視性タイムアウト", "料金"} & set(texts)


def test_a_note_of_headings_alone_gives_nothing() -> None:
    assert extract("見出し", "# 見出し\n\n## 見出しだけ\n") == []


def test_a_unit_tells_the_heading_right_above_it_also_where_short_sections_share_a_chunk() -> None:
    units = {unit.text: unit for unit in extract("既定は30秒である", QUEUE)}
    assert units["既定は30秒である。"].path[-1] == "可視性タイムアウト"
    assert (
        statement_text(units["既定は30秒である。"])
        == "キュー › 可視性タイムアウト：既定は30秒である。"
    )


def test_a_unit_tells_the_bullet_that_owns_it() -> None:
    text = "## 節\n\n- 可視性タイムアウト\n  - 既定は30秒\n  - 最大は12時間\n"
    unit = extract("最大は12時間", text)[0]
    assert (unit.text, unit.path[-1]) == ("最大は12時間", "可視性タイムアウト")


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("既定は30秒。", ["SQS", "可視性"], "SQS › 可視性：既定は30秒。"),
        ("SQSの可視性は30秒。", ["SQS", "可視性"], "SQSの可視性は30秒。"),
        ("ｓｑｓでは30秒。", ["SQS", "可視性"], "可視性：ｓｑｓでは30秒。"),
        ("既定は30秒。", ["AWS", "SQS", "可視性"], "SQS › 可視性：既定は30秒。"),
        ("既定は30秒。", ["SQS", "SQS"], "SQS：既定は30秒。"),
        ("既定は30秒。", ["", "SQS"], "SQS：既定は30秒。"),
        ("既定は30秒。", [], "既定は30秒。"),
        ("何時でも使える。", ["何時"], "何時でも使える。"),
        ("一行目\n\u3000二行目", ["題\n名"], "題 名：一行目 二行目"),
    ],
    ids=[
        "both missing",
        "both named",
        "one named, in full width",
        "the last two of the path",
        "the same twice",
        "a heading without text",
        "no path",
        "a heading of stop words",
        "line breaks",
    ],
)
def test_the_subject_is_put_in_front_only_where_it_is_missing(
    text: str, path: list[str], expected: str
) -> None:
    assert statement_text(make_unit(text, path)) == expected


def test_what_two_notes_say_in_the_same_words_is_said_once() -> None:
    fact = "可視性タイムアウトの既定は30秒である。"
    units = extract("可視性タイムアウトの既定", f"## 甲\n\n{fact}\n", f"## 乙\n\n{fact}\n")
    assert [unit.text for unit in units] == [fact]


def test_symbols_are_duplicates_only_of_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    take_all(monkeypatch)
    assert [unit.text for unit in extract("％％", "## 甲\n\n％％\n", "## 乙\n\n％％\n")] == ["％％"]
    assert {unit.text for unit in extract("％＆", "## 甲\n\n％＆\n", "## 乙\n\n＆％\n")} == {
        "％＆",
        "＆％",
    }


def test_at_most_five_statements_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = [f"- {name}の料金は{name}銭である。" for name in "甲乙丙丁戊己庚辛"]
    monkeypatch.setattr(extraction, "DUPLICATE_OVERLAP", 1.0)
    monkeypatch.setattr(extraction, "MAX_PER_HIT", 8)
    take_all(monkeypatch)
    units = extract("料金は銭である", "## 料金\n\n" + "\n".join(facts) + "\n")
    assert len(units) == MAX_STATEMENTS == 5


def test_what_meets_the_question_much_less_than_the_best_is_left_out() -> None:
    units = extract(
        "葉緑体は光で酸素をつくる", "## 甲\n\n葉緑体は光で酸素をつくる。\n\nまったく別のこと。\n"
    )
    assert [unit.text for unit in units] == ["葉緑体は光で酸素をつくる。"]


def test_a_long_block_is_taken_in_parts() -> None:
    sentences = [f"第{number}の文は、{'長' * 60}いことを述べている。" for number in range(6)]
    units = extract("第3の文は何を述べているか", "## 節\n\n" + "".join(sentences) + "\n")
    assert all(len(unit.text) <= MAX_UNIT_CHARS + len(sentences[0]) for unit in units)
    assert "第3の文" in units[0].text


def test_a_question_without_tokens_takes_nothing() -> None:
    documents = [make_document("a.md", "本文。\n")]
    snapshot = build_snapshot(documents, Settings(embedder="bigram"), BigramEmbedder(), silent)
    hit = make_hit(snapshot.chunks[0])
    none = np.zeros(0, np.int32)
    vectors = np.zeros((0, BigramEmbedder().dim), np.float32)
    nothing = Asked(vectors, TokenVectors(vectors, none, none), frozenset())
    assert extract_units(snapshot, nothing, [hit], parse_document(documents[0])) == []


LISTED = """## ロールバック

条件は次の 3 つである。

- 失敗したとき
- 警報が鳴ったとき
- 手で止めたとき

ほかの話である。
"""


def test_what_announces_a_list_is_given_with_the_list() -> None:
    unit = extract("条件は次の3つ", LISTED)[0]
    assert unit.text == "条件は次の 3 つである。"
    assert unit.children == ("失敗したとき", "警報が鳴ったとき", "手で止めたとき")
    assert LISTED[unit.start_index : unit.whole_end].endswith("手で止めたとき")
    assert statement_text(unit).split("\n")[1:] == [
        "- 失敗したとき",
        "- 警報が鳴ったとき",
        "- 手で止めたとき",
    ]


def test_a_bullet_is_given_with_what_it_owns_and_this_not_again() -> None:
    text = "## 節\n\n- 可視性タイムアウト\n  - 既定は30秒\n  - 最大は12時間\n"
    units = extract("可視性タイムアウト", text)
    assert [unit.children for unit in units] == [("既定は30秒", "最大は12時間")]


TABLE = """## 比較

| エンジン | スレッド | 用途 |
|---|---|---|
| 甲キャッシュ | 複数 | 会話 |
| 乙キャッシュ | 一つ | 行列 |
"""


def test_a_row_of_a_table_tells_the_names_of_its_columns() -> None:
    unit = extract("甲キャッシュのスレッド", TABLE)[0]
    assert statement_text(unit) == "比較：甲キャッシュ — スレッド：複数／用途：会話"


def test_the_header_of_a_table_is_no_answer() -> None:
    assert "エンジン" not in [
        unit.text.split(" | ")[0] for unit in extract("エンジン スレッド 用途", TABLE)
    ]


def test_both_sides_of_a_comparison_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "GAPS", (0.0,) * 4)
    alone = extract("甲キャッシュは複数で会話だが乙キャッシュは？", TABLE)
    sides = ["甲キャッシュ", "乙キャッシュ"]
    both = extract("甲キャッシュは複数で会話だが乙キャッシュは？", TABLE, sides=sides)
    assert [unit.text.split(" | ")[0] for unit in alone] == ["甲キャッシュ"]
    assert [unit.text.split(" | ")[0] for unit in both] == ["甲キャッシュ", "乙キャッシュ"]


def test_a_comparison_takes_nothing_about_other_things(monkeypatch: pytest.MonkeyPatch) -> None:
    take_all(monkeypatch)
    text = "## 比較\n\n甲箱は高い。\n\n丙箱は重い。\n\n乙箱は安い。\n"
    texts = {unit.text for unit in extract("甲箱と乙箱の違い", text, sides=["甲箱", "乙箱"])}
    assert texts == {"甲箱は高い。", "乙箱は安い。"}


def test_what_defines_the_subject_goes_first() -> None:
    text = "## 箱\n\n箱の中の箱では箱を数える。\n\n箱は入れ物である。\n"
    documents = [make_document("0.md", text)]
    snapshot = build_snapshot(documents, Settings(embedder="bigram"), BigramEmbedder(), silent)
    hits = Retriever(snapshot, BigramEmbedder(), Aliases.of([])).search("箱とは").hits
    sections = parse_document(documents[0])
    asks = replace(asked("箱とは"), defines=lambda text: text.startswith("箱は"))
    assert extract_units(snapshot, asks, hits, sections)[0].text == "箱は入れ物である。"


def test_each_further_statement_has_to_be_closer_to_the_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "## 節\n\n" + "\n\n".join(f"{name}の値段は{name}銭。" for name in "甲乙丙丁") + "\n"
    question = "甲の値段は甲銭"
    monkeypatch.setattr(extraction, "GAPS", (9.0, 0.0, 0.0, 0.0))
    assert len(extract(question, text)) == 2
    monkeypatch.setattr(extraction, "GAPS", (9.0, 9.0, 0.0, 0.0))
    assert len(extract(question, text)) == 3


def test_steps_stand_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    take_all(monkeypatch)
    text = "## 手順\n\n1. 箱を用意する。\n2. 鍵を箱に入れて閉める。\n3. 箱を送る。\n"
    steps = [unit.text for unit in extract("鍵を箱に入れて閉める", text)]
    assert steps == sorted(steps)
    assert len(steps) == 3


def test_a_title_that_is_but_a_file_s_number_is_no_subject() -> None:
    unit = make_unit("既定は30秒。", ["002_4c604f908c421cc3", "可視性"])
    assert statement_text(unit) == "可視性：既定は30秒。"


def test_sentences_of_one_bullet_stay_together() -> None:
    text = "## 節\n\n特徴は次のとおり。\n\n- 速い。ただし高い。\n- 遅い。\n"
    assert extract("特徴", text)[0].children == ("速い。 ただし高い。", "遅い。")
