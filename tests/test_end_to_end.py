"""The whole way, from files on disk to a cited answer, over the command line's own objects."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from rag.assistant import Assistant
from rag.config import DEFAULT_EMBEDDER, Settings
from rag.doctor import diagnose
from rag.loading import decode_note
from rag.presenting import answer_json, answer_lines, search_json
from tests.fakes import install_fake_embedder, make_settings, write_notes

FILES = {
    "表.md": """## キュー

| 種類 | 順序 |
|---|---|
| 標準 | 保証しない |
| FIFO | 保証する |
""",
    "走り書き.txt": "光合成\r\n・葉緑体で行う\r\n・デンプンと酸素をつくる\r\n",
    "web.html": "<title>鍵</title><h2>交代</h2><p>鍵は<b>毎年</b>自動で交代する。</p>",
    "深い/フォルダー/空白 の名.md": "# 猫\n\n猫は一日に16時間眠る😺。\n",
}
ENCODED = {"sjis.txt": "犬は一日に12時間眠る。\n".encode("cp932")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture
def assistant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Assistant:
    install_fake_embedder(monkeypatch)
    settings = make_settings(folder, FILES)
    for name, content in ENCODED.items():
        (settings.corpus / name).write_bytes(content)
    return Assistant.open(settings.model_copy(update={"answer_threshold": 0}))


def read_from_disk(assistant: Assistant, doc_id: str) -> str:
    """A note as its file has it, decoded but otherwise untouched."""
    path = Path(assistant.document(doc_id).source_path)
    return decode_note(path.read_bytes(), doc_id)


@pytest.mark.parametrize(
    ("question", "doc_id", "line", "fact"),
    [
        ("FIFOの順序は保証するか", "表.md", 6, "保証する"),
        ("葉緑体でつくるものは酸素とデンプン", "走り書き.txt", 3, "デンプン"),
        ("鍵は自動で交代するか", "web.html", 1, "毎年"),
        ("猫は何時間眠るか", "深い/フォルダー/空白_の名.md", 3, "16時間"),
        ("犬は何時間眠るか", "sjis.txt", 1, "12時間"),
    ],
)
def test_from_a_file_to_a_cited_answer(
    assistant: Assistant, question: str, doc_id: str, line: int, fact: str
) -> None:
    answer = assistant.ask(question)
    assert fact in answer.text
    citation = next(citation for citation in answer.citations if fact in citation.quote)
    assert citation.doc_id == doc_id
    assert citation.start_line <= line <= citation.end_line


def test_every_span_reads_back_from_the_file_itself(assistant: Assistant) -> None:
    answer = assistant.ask("眠る 酸素 順序 交代", top_k=50)
    assert len({hit.chunk.doc_id for hit in answer.hits}) == 5
    for hit in answer.hits:
        text = read_from_disk(assistant, hit.chunk.doc_id)
        assert text[hit.chunk.start_index : hit.chunk.end_index] == hit.chunk.text
    for citation in answer.citations:
        text = read_from_disk(assistant, citation.doc_id)
        assert text[citation.start_index : citation.end_index] == citation.quote


def test_what_is_shown_names_the_note_and_the_line(assistant: Assistant) -> None:
    lines = list(answer_lines(assistant.ask("猫は何時間眠るか")))
    assert lines[0].endswith("[1]")
    assert any("深い/フォルダー/空白_の名.md:3" in line for line in lines)


def test_a_file_whose_name_is_not_utf_8_can_be_asked_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake_embedder(monkeypatch)
    settings = make_settings(tmp_path).model_copy(update={"answer_threshold": 0})
    Path(os.fsdecode(os.fsencode(settings.corpus) + "/熊.md".encode("cp932"))).write_text(
        "熊は冬に眠る。"
    )
    answer = Assistant.open(settings).ask("熊は冬に")
    assert answer.citations[0].quote == "熊は冬に眠る。"
    assert json.dumps(answer_json(answer), ensure_ascii=False).encode("utf-8")
    assert "\n".join(answer_lines(answer)).encode("utf-8")


def test_json_of_hits_and_answer_carries_the_same_spans(assistant: Assistant) -> None:
    question = "猫は何時間眠るか"
    found, answer = search_json(assistant.search(question)), answer_json(assistant.ask(question))
    assert answer["hits"] == found["hits"]
    for hit in found["hits"]:
        assert hit["citation"]["quote"] == hit["text"]
        assert hit["citation"]["number"] == hit["rank"]
    assert list(answer["statements"][0]["citation_numbers"]) == [answer["citations"][0]["number"]]


PARAPHRASES = {
    "ネコの睡眠はどのくらい": "深い/フォルダー/空白_の名.md",
    "キーは放っておいても新しくなるか": "web.html",
    "植物が養分をこしらえる仕組み": "走り書き.txt",
}
"""Questions that share no word with the note that answers them."""


@pytest.mark.slow
def test_the_real_model_finds_what_is_asked_in_other_words(tmp_path: Path) -> None:
    corpus = write_notes(tmp_path / "corpus", FILES)
    settings = Settings(
        corpus=corpus, index=tmp_path / "index", embedder=DEFAULT_EMBEDDER, answer_threshold=0
    )
    built = Assistant.open(settings)
    opened = Assistant.open(settings)
    assert opened.snapshot_id == built.snapshot_id
    for question, doc_id in PARAPHRASES.items():
        answer = opened.ask(question)
        assert answer.hits[0].chunk.doc_id == doc_id, question
        for citation in answer.citations:
            text = opened.document(citation.doc_id).text
            assert text[citation.start_index : citation.end_index] == citation.quote


@pytest.mark.slow
def test_every_leg_of_the_real_model_is_alive_on_notes_that_ship(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for note in ("amplify.md", "x-ray.md"):
        shutil.copy(Path(__file__).parent.parent / "corpus" / "aws" / note, corpus)
    settings = Settings(corpus=corpus, index=tmp_path / "index", embedder=DEFAULT_EMBEDDER)
    assert [finding for finding in diagnose(settings) if not finding.ok] == []
