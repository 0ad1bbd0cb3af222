from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.gold import GoldError, GoldQuestion, Target, anchor_gold, load_gold
from rag.types import Chunk, Document
from tests.eval_fakes import make_note

NOTE = make_note("aws/lambda.md", "上限は15分。\nメモリは10GBまで。\n上限は15分。")
NOTES: dict[str, Document] = {NOTE.doc_id: NOTE}
GOOD: dict[str, object] = {
    "query_id": "q1",
    "question": "Lambdaの実行時間は?",
    "history": ["Lambdaとは"],
    "tags": ["direct"],
    "answerable": True,
    "relevant": [{"doc_id": "aws/lambda.md", "quote": "上限は15分。"}],
    "answer_keys": [["15分", "900秒"]],
    "split": "tune",
}


def write(path: Path, *rows: object) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def fault_of(path: Path) -> str:
    with pytest.raises(GoldError) as caught:
        anchor_gold(load_gold([path]), NOTES)
    assert caught.value.code == "gold"
    return str(caught.value)


def test_every_field_is_read_and_a_quote_gets_all_its_places(tmp_path: Path) -> None:
    path = write(tmp_path / "gold.jsonl", GOOD)
    target = Target("aws/lambda.md", "上限は15分。", spans=((0, 7), (20, 27)))
    assert anchor_gold(load_gold([path]), NOTES) == [
        GoldQuestion(
            query_id="q1",
            question="Lambdaの実行時間は?",
            answerable=True,
            targets=(target,),
            history=("Lambdaとは",),
            tags=("direct",),
            answer_keys=(("15分", "900秒"),),
            split="tune",
            where=f"{path}:1",
        )
    ]


def test_what_is_left_out_is_empty_and_the_split_is_held(tmp_path: Path) -> None:
    row = {"query_id": "q1", "question": "天気は?", "answerable": False}
    (question,) = load_gold([write(tmp_path / "gold.jsonl", row)])
    assert (question.targets, question.history, question.tags) == ((), (), ())
    assert question.split == "held"


def test_a_byte_order_mark_windows_lines_and_blank_lines_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    line = json.dumps(GOOD)
    path.write_bytes(b"\xef\xbb\xbf" + f"{line}\r\n\r\n".encode())
    assert [question.query_id for question in load_gold([path])] == ["q1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"query_id": None}, "query_id is 'None', not text without white space"),
        ({"query_id": "a b"}, "query_id is 'a b', not text without white space"),
        ({"question": " "}, "question is ' ', not text"),
        ({"answerable": "yes"}, "answerable is 'yes', not true or false"),
        ({"answerable": 1}, "answerable is '1', not true or false"),
        ({"history": "前の質問"}, "history is '前の質問', not a list of earlier questions"),
        ({"tags": [1]}, "tags is '[1]', not a list of texts"),
        ({"answer_keys": ["15分"]}, "not a list of non-empty lists of texts"),
        ({"answer_keys": [[]]}, "not a list of non-empty lists of texts"),
        ({"split": "test"}, "split is 'test', not one of tune, held"),
        ({"relevant": {}}, "relevant is '{}', not a list of {doc_id, quote}"),
        ({"relevant": ["上限"]}, "an entry of relevant is '上限', not an object"),
        ({"relevant": [{"doc_id": "aws/lambda.md"}]}, "key 'quote' is missing"),
        (
            {"relevant": [{"doc_id": "aws/lambda.md", "quote": "上限", "page": 1}]},
            "unknown key 'page' in an entry of relevant",
        ),
        ({"relevant": [], "answer_keys": []}, "neither relevant nor answer_keys"),
        ({"answerable": False}, "answerable is false, so relevant and answer_keys must be empty"),
        ({"anwser": 1}, "unknown key 'anwser' in the line; known are query_id, question"),
        (
            {"relevant": [{"doc_id": "aws/lambda.md", "quote": "上限"}] * 2},
            "the same quote stands twice",
        ),
        (
            {"relevant": [{"doc_id": "aws/ecs.md", "quote": "上限"}]},
            "unknown doc_id 'aws/ecs.md' among 1 notes",
        ),
        (
            {"relevant": [{"doc_id": "aws/lambda.md", "quote": "上限は15 分"}]},
            "quote '上限は15 分' is not in aws/lambda.md; copy it from the note",
        ),
    ],
)
def test_a_fault_is_told_with_file_line_and_value(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = write(tmp_path / "gold.jsonl", {**GOOD, "query_id": "q0"}, {**GOOD, **change})
    message = fault_of(path)
    assert message.startswith(f"{path}:2: ")
    assert said in message


@pytest.mark.parametrize("key", ["query_id", "question", "answerable"])
def test_a_required_key_must_be_there(tmp_path: Path, key: str) -> None:
    row = {name: value for name, value in GOOD.items() if name != key}
    path = write(tmp_path / "gold.jsonl", row)
    assert fault_of(path) == f"{path}:1: key {key!r} is missing in the line"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"query_id": "q1",', "broken JSON at column 19"),
        ('["q1"]', "the line is \"['q1']\", not an object"),
        ('{"query_id": "q1", "query_id": "q2"}', "key 'query_id' stands twice"),
        ('{"query_id": "\\ud800"}', "broken JSON: UnicodeEncodeError"),
        ("[" * 100_000, "broken JSON"),
    ],
)
def test_broken_json_is_told_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path / "gold.jsonl", GOOD, line)
    message = fault_of(path)
    assert message.startswith(f"{path}:2: ")
    assert said in message


def test_a_query_id_stands_once_in_all_files(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.jsonl", GOOD), write(tmp_path / "b.jsonl", GOOD)
    with pytest.raises(GoldError) as caught:
        load_gold([first, second])
    assert str(caught.value) == f"{second}:1: duplicate query_id 'q1', first at {first}:1"


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    rows = [{**GOOD, "query_id": f"q{n}", "split": "?"} for n in range(30)]
    path = write(tmp_path / "gold.jsonl", *rows)
    with pytest.raises(GoldError) as caught:
        load_gold([path])
    assert len(caught.value.faults) == 30
    assert str(caught.value).splitlines()[-1] == "… and 10 more faults of this kind"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(GoldError, match=r"absent\.jsonl: cannot be read \(No such file"):
        load_gold([tmp_path / "absent.jsonl"])
    sjis = tmp_path / "sjis.jsonl"
    sjis.write_bytes("\n上限".encode("cp932"))
    with pytest.raises(GoldError, match=r"sjis\.jsonl:2: not UTF-8"):
        load_gold([sjis])
    with pytest.raises(GoldError, match=r"no question in .*empty\.jsonl"):
        load_gold([write(tmp_path / "empty.jsonl")])


@pytest.mark.parametrize(
    ("start", "end", "held"),
    [
        (0, 7, True),
        (0, 4, True),  # 4 of the 7 characters
        (0, 3, False),
        (3, 20, True),  # 4 at its end
        (4, 20, False),
        (20, 27, True),  # the quote's second place
        (7, 20, False),
    ],
)
def test_a_chunk_holds_a_quote_with_half_of_its_characters(
    start: int, end: int, held: bool
) -> None:
    target = Target(NOTE.doc_id, "上限は15分。", spans=((0, 7), (20, 27)))
    place = (start, end, 1, 1)
    chunk = Chunk("c", "s", NOTE.doc_id, "", (), NOTE.text[start:end], *place)
    assert target.held_by(chunk) is held
    assert not target.held_by(Chunk("c", "s", "other.md", "", (), chunk.text, *place))


def test_the_fingerprint_changes_with_what_is_asked_and_not_with_where(tmp_path: Path) -> None:
    (question,) = load_gold([write(tmp_path / "a.jsonl", GOOD)])
    (moved,) = load_gold([write(tmp_path / "b.jsonl", "", {**GOOD, "tags": ["typo"]})])
    (other,) = load_gold([write(tmp_path / "c.jsonl", {**GOOD, "history": []})])
    assert moved.fingerprint == question.fingerprint
    assert other.fingerprint != question.fingerprint
