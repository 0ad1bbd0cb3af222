from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from rag.assistant import Assistant
from rag.config import Settings
from rag.errors import GeneratorError, NotFoundError, QuestionError
from rag.loading import make_document
from rag.types import Answer, SearchResult
from tests.fakes import NOTES, BigramEmbedder, install_fake_embedder, make_settings

ANSWER_ALL = Settings(embedder="bigram", answer_threshold=0)
REFUSE_ALL = Settings(embedder="bigram", answer_threshold=1)


@pytest.fixture(autouse=True)
def embedder(monkeypatch: pytest.MonkeyPatch) -> BigramEmbedder:
    return install_fake_embedder(monkeypatch)


def assistant_over(notes: Mapping[str, str] = NOTES, settings: Settings = ANSWER_ALL) -> Assistant:
    documents = [make_document(doc_id, text) for doc_id, text in notes.items()]
    return Assistant.from_documents(documents, settings)


def test_a_question_gets_an_answer_with_a_literal_citation() -> None:
    assistant = assistant_over()
    answer = assistant.ask("受信したメッセージは何秒見えないか")
    assert not answer.refused
    assert "30秒" in answer.statements[0].text
    citation = answer.citations[answer.statements[0].citation_numbers[0] - 1]
    assert (citation.doc_id, citation.headings) == ("aws/sqs.md", ("可視性タイムアウト",))
    text = NOTES["aws/sqs.md"]
    assert text[citation.start_index : citation.end_index] == citation.quote
    assert text.split("\n")[citation.start_line - 1].startswith("受信したメッセージ")


@pytest.mark.parametrize(
    "question", ["ローテーション", "酸素をつくる", "回数を超えたメッセージ", "12時間"]
)
def test_every_citation_lies_in_a_hit_and_every_number_is_used(question: str) -> None:
    assistant = assistant_over()
    answer = assistant.ask(question)
    spans = [(h.chunk.doc_id, h.chunk.start_index, h.chunk.end_index) for h in answer.hits]
    for citation in answer.citations:
        text = assistant.document(citation.doc_id).text
        assert text[citation.start_index : citation.end_index] == citation.quote
        assert any(
            doc_id == citation.doc_id and start <= citation.start_index < citation.end_index <= end
            for doc_id, start, end in spans
        )
    used = [number for statement in answer.statements for number in statement.citation_numbers]
    assert used == [citation.number for citation in answer.citations]
    assert used == list(range(1, len(used) + 1))


def test_the_text_of_an_answer_marks_every_statement() -> None:
    answer = assistant_over().ask("メッセージ")
    lines = answer.text.split("\n")
    assert lines == [f"{s.text}[{s.citation_numbers[0]}]" for s in answer.statements]


@pytest.mark.parametrize("settings", [REFUSE_ALL, ANSWER_ALL], ids=["unlikely", "nothing found"])
def test_a_refused_answer_has_no_statements(settings: Settings) -> None:
    tags = ["無い札"] if settings is ANSWER_ALL else []
    answer = assistant_over(settings=settings).ask("ローテーション", tags=tags)
    assert answer.refused
    assert (answer.statements, answer.citations, answer.text) == ((), (), "")
    assert bool(answer.hits) == (settings is REFUSE_ALL)


def test_an_answer_that_would_be_empty_is_a_refusal() -> None:
    answer = assistant_over({"a.md": "## 見出しだけ\n"}).ask("見出しだけ")
    assert answer.hits
    assert answer.refused


def test_the_threshold_decides_between_answer_and_refusal() -> None:
    question = "カスタマー管理キーのローテーション"
    likely = assistant_over().search(question).answerable
    for threshold, refused in ((likely, False), (min(likely * 1.01, 1), True)):
        settings = Settings(embedder="bigram", answer_threshold=threshold)
        assert assistant_over(settings=settings).ask(question).refused is refused


def test_a_stream_is_the_hits_then_the_text_in_pieces_then_the_answer() -> None:
    notes = {
        "a.md": "---\ntitle: 題\n---\n\n## 甲\n\n料金は1円である。\n\n## 乙\n\n料金は2円である。\n"
    }
    found, *pieces, answer = assistant_over(notes).stream("料金は何円か")
    assert isinstance(found, SearchResult)
    assert isinstance(answer, Answer)
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == answer.text
    assert len(pieces) == len(answer.statements)


def test_a_refused_stream_has_no_pieces() -> None:
    found, answer = assistant_over(settings=REFUSE_ALL).stream("料金")
    assert isinstance(found, SearchResult)
    assert isinstance(answer, Answer)


def test_an_unknown_answer_model_is_told_with_the_known() -> None:
    with pytest.raises(
        GeneratorError, match=r"no answer model 'gpt'; choose one of \['extractive'\]"
    ):
        assistant_over().ask("料金", model="gpt")
    assert assistant_over().ask("料金", model="extractive").model == "extractive"


def test_the_earlier_question_is_part_of_what_is_answered() -> None:
    answer = assistant_over().ask("なぜ？", history=["葉緑体は何をつくるか"])
    assert answer.citations[0].doc_id == "生物.md"
    assert answer.question == "なぜ？"


def test_a_question_that_cannot_be_asked_is_told() -> None:
    with pytest.raises(QuestionError, match="empty"):
        assistant_over().ask(" ")
    short = Settings(embedder="bigram", max_question_chars=3)
    with pytest.raises(QuestionError, match="4 characters, over the limit of 3"):
        assistant_over(settings=short).ask("四文字だ")


def test_notes_are_found_by_their_id() -> None:
    assistant = assistant_over()
    assert [note.doc_id for note in assistant.documents()] == list(NOTES)
    assert assistant.document("生物.md").text == NOTES["生物.md"]
    assert [section.headings for section in assistant.sections("aws/sqs.md")] == [
        ("可視性タイムアウト",),
        ("デッドレターキュー",),
    ]


@pytest.mark.parametrize("doc_id", ["", "nowhere.md", "../corpus/aws/sqs.md"])
def test_a_note_that_is_not_there_is_told(doc_id: str) -> None:
    for ask in (assistant_over().document, assistant_over().sections):
        with pytest.raises(NotFoundError, match=f"no note '{doc_id}'"):
            ask(doc_id)


def test_the_commonest_tags_are_first() -> None:
    assert assistant_over().tags == ("SAP-C02", "メッセージング")


def test_documents_in_memory_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert assistant_over().chunks
    assert list(tmp_path.iterdir()) == []


def test_opening_indexes_first_and_embeds_nothing_the_second_time(
    tmp_path: Path, embedder: BigramEmbedder
) -> None:
    settings = make_settings(tmp_path)
    first = Assistant.open(settings)
    assert first.snapshot_id == first.ask("料金").snapshot_id
    embedder.passages.clear()
    assert Assistant.open(settings).snapshot_id == first.snapshot_id
    assert embedder.passages == []


def test_opening_takes_up_notes_that_changed(tmp_path: Path) -> None:
    settings = make_settings(tmp_path).model_copy(update={"answer_threshold": 0})
    Assistant.open(settings)
    (settings.corpus / "猫.md").write_text("## 猫\n\n猫は一日に16時間眠る。\n", encoding="utf-8")
    assert "16時間" in Assistant.open(settings).ask("猫は何時間眠るか").text


def test_other_names_in_the_notes_folder_are_read(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    (settings.corpus / "aliases.toml").write_text('"葉緑体" = ["クロロプラスト"]', encoding="utf-8")
    hits = Assistant.open(settings).search("クロロプラスト", legs={"bigrams"}).hits
    assert hits[0].chunk.doc_id == "生物.md"
