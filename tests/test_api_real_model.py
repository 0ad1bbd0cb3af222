"""The service over the real library and model: every citation opens at its words."""

from __future__ import annotations

import html
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api import create_app
from api.messages import SHIPPED_EXAMPLES
from rag.assistant import Assistant
from rag.config import Settings

pytestmark = pytest.mark.slow

CORPUS = Path(__file__).parents[1] / "corpus"
UNSEEN = re.compile(r"^\s*(?:```\w+$|\d+\. )", re.MULTILINE)
"""Languages of code and numbers of lists, which no text of the page shows."""

MARK = re.compile(r"<mark>(.*?)</mark>", re.DOTALL)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("service")
    for doc_id, _ in SHIPPED_EXAMPLES:
        (folder / "notes" / doc_id).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CORPUS / doc_id, folder / "notes" / doc_id)
    settings = Settings(corpus=folder / "notes", index=folder / "index")
    with TestClient(create_app(settings, Assistant.open(settings))) as client:
        yield client


def letters(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char)[0] in "LN")


@pytest.mark.parametrize(("doc_id", "question"), SHIPPED_EXAMPLES)
def test_example_questions_are_answered_and_their_citations_open_at_their_words(
    client: TestClient, doc_id: str, question: str
) -> None:
    answer = client.post("/api/ask", json={"question": question}).json()
    assert not answer["refused"]
    assert doc_id in {hit["citation"]["doc_id"] for hit in answer["hits"]}
    assert answer["citations"]
    for cited in [*answer["citations"], *(hit["citation"] for hit in answer["hits"])]:
        text = client.get(f"/api/documents/{cited['doc_id']}").json()["text"]
        assert text[cited["start_index"] : cited["end_index"]] == cited["quote"]
        page = client.get(cited["url"]).text
        marked = html.unescape(re.sub(r"<[^>]*>", "", "".join(MARK.findall(page))))
        assert letters(marked) == letters(UNSEEN.sub("", cited["quote"]))


def test_question_the_notes_do_not_hold_is_refused(client: TestClient) -> None:
    answer = client.post("/api/ask", json={"question": "源氏物語の作者は誰ですか？"}).json()
    assert answer["refused"]
    assert answer["statements"] == answer["citations"] == []


def test_stream_ends_with_the_answer_that_is_given_whole(client: TestClient) -> None:
    question = SHIPPED_EXAMPLES[0][1]
    whole = client.post("/api/ask", json={"question": question}).json()
    streamed = client.post("/api/ask", json={"question": question, "stream": True}).text
    assert streamed.startswith("event: hits\n")
    assert streamed.endswith("event: done\ndata: {}\n\n")
    deltas = re.findall(r'event: delta\ndata: \{"text": "(.*)"\}', streamed)
    assert "".join(deltas).replace("\\n", "\n") == whole["answer"]
