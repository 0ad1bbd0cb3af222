from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.datasets import load_beir, load_squad
from eval.gold import GoldError

PARAGRAPH = {
    "context": "梅雨 [SEP] 雨季の一種である。",
    "qas": [
        {"id": "q1", "question": "梅雨とは?"},
        {"id": "q2", "question": "火星の梅雨は?", "is_impossible": True},
    ],
}


def write_squad(folder: Path, *articles: dict[str, Any]) -> Path:
    path = folder / "squad.json"
    path.write_text(json.dumps({"data": articles}, ensure_ascii=False), encoding="utf-8")
    return path


def test_a_paragraph_is_a_document_under_its_title(tmp_path: Path) -> None:
    with_title = {"title": "気象", "paragraphs": [PARAGRAPH]}
    plain = {"context": "秋の長雨。", "qas": [{"id": 3, "question": "秋は?"}]}
    path = write_squad(tmp_path, with_title, {"paragraphs": [plain]})
    dataset = load_squad(path)
    assert [(d.doc_id, d.title, d.text) for d in dataset.documents] == [
        ("p000000", "気象", "雨季の一種である。"),
        ("p000001", "", "秋の長雨。"),
    ]
    assert dataset.qrels == {"q1": {"p000000": 1.0}, "3": {"p000001": 1.0}}
    assert dataset.notes == ("1 questions marked impossible left out",)


def test_without_an_article_title_it_stands_before_the_separator(tmp_path: Path) -> None:
    (document,) = load_squad(write_squad(tmp_path, {"paragraphs": [PARAGRAPH]})).documents
    assert (document.title, document.text) == ("梅雨", "雨季の一種である。")


def test_the_same_paragraph_twice_is_one_document(tmp_path: Path) -> None:
    again = {**PARAGRAPH, "qas": [{"id": "q9", "question": "いつ?"}]}
    dataset = load_squad(write_squad(tmp_path, {"paragraphs": [PARAGRAPH, again]}))
    assert len(dataset.documents) == 1
    assert dataset.qrels == {"q1": {"p000000": 1.0}, "q9": {"p000000": 1.0}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", r"squad\.json:1: broken JSON"),
        ("[]", "not SQuAD's form"),
        ('{"data": [{"title": "a"}]}', r"after 0 paragraphs .*KeyError\('paragraphs'\)"),
        ('{"data": [1]}', "not SQuAD's form"),
        ('{"data": []}', "no question with something to find"),
        ('{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1"}]}]}]}', "'question'"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "squad.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(GoldError, match=said):
        load_squad(path)


def test_a_question_id_stands_once(tmp_path: Path) -> None:
    twice = {**PARAGRAPH, "context": "別の段落"}
    with pytest.raises(GoldError, match="duplicate question id 'q1'"):
        load_squad(write_squad(tmp_path, {"paragraphs": [PARAGRAPH, twice]}))


def write_beir(folder: Path, qrels: str) -> Path:
    (folder / "qrels").mkdir()
    (folder / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "表題", "text": "本文"}\n{"_id": "d2", "text": "別"}\n',
        encoding="utf-8",
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "問い"}\n{"_id": "q2", "text": "誰も見ない"}\n', encoding="utf-8"
    )
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return folder


def test_a_beir_folder_keeps_its_grades(tmp_path: Path) -> None:
    qrels = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t1\nq2\td1\t0\n"
    dataset = load_beir(write_beir(tmp_path, qrels))
    assert dataset.qrels == {"q1": {"d1": 2.0, "d2": 1.0}}
    assert [(d.doc_id, d.title, d.text) for d in dataset.documents] == [
        ("d1", "表題", "本文"),
        ("d2", "", "別"),
    ]
    assert dataset.notes == ("1 questions without a judgement left out",)


def test_qrels_without_a_head_lose_no_line(tmp_path: Path) -> None:
    assert load_beir(write_beir(tmp_path, "q1\td1\t1\n")).qrels == {"q1": {"d1": 1.0}}


@pytest.mark.parametrize(
    ("qrels", "said"),
    [
        ("q1\td9\t1\n", r"test\.tsv:1: unknown corpus-id 'd9'"),
        ("q1\td1\n", r"test\.tsv:1: not query-id, corpus-id, score"),
        ("q9\td1\t1\n", "qrels name query 'q9', not in queries.jsonl"),
        ("", "no question with something to find"),
    ],
)
def test_qrels_must_fit_the_other_files(tmp_path: Path, qrels: str, said: str) -> None:
    with pytest.raises(GoldError, match=said):
        load_beir(write_beir(tmp_path, qrels))


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    folder = write_beir(tmp_path, "q1\td1\t1\n")
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "a"}\n{"_id": 2}\n')
    with pytest.raises(GoldError, match=r"corpus\.jsonl:2: key '_id' is missing or not text"):
        load_beir(folder)
    with pytest.raises(GoldError, match=r"cannot be read"):
        load_beir(tmp_path / "absent")
