"""A running service takes up new snapshots and changed notes, and mixes nothing while it does."""

from __future__ import annotations

import gc
import logging
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api import create_app, following
from api.answering import Readiness
from api.following import Follower, may_be_a_note
from rag.assistant import Assistant
from rag.config import Settings
from rag.indexing import fresh_snapshot
from rag.snapshot_folders import folder_of, id_in_use
from tests.fakes import BigramEmbedder, install_fake_embedder, make_settings, silent, write_notes

DEADLINE_SECONDS = 20
NEW_NOTE = {"新しい.md": "## 合言葉\n\n合言葉は、あさがおである。\n"}


@pytest.fixture(autouse=True)
def embedder(monkeypatch: pytest.MonkeyPatch) -> BigramEmbedder:
    return install_fake_embedder(monkeypatch)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path).model_copy(update={"answer_threshold": 0.0})


@pytest.fixture
def readiness(settings: Settings) -> Readiness:
    return Readiness(Assistant.open(settings))


@pytest.fixture
def follower(settings: Settings, readiness: Readiness) -> Follower:
    return Follower(settings, readiness)


def in_another_process(settings: Settings) -> str:
    """What `kotae index` elsewhere does; the id of its snapshot."""
    return fresh_snapshot(settings, BigramEmbedder(), silent)[0].manifest.snapshot_id


def test_a_snapshot_of_another_process_is_taken_up(
    settings: Settings,
    readiness: Readiness,
    follower: Follower,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = readiness.assistant
    write_notes(settings.corpus, NEW_NOTE)
    newer = in_another_process(settings)
    with caplog.at_level(logging.INFO):
        follower.look(notes_changed=False)
    after = readiness.assistant
    assert (after.snapshot_id, len(after.documents())) == (newer, 4)
    assert f"snapshot {newer} answers now, with 4 notes" in caplog.text
    follower.look(notes_changed=False)
    assert readiness.assistant is after
    # Whoever still holds the one before reads on in it.
    assert len(before.documents()) == 3
    assert before.search("合言葉").snapshot_id == before.snapshot_id


def test_changed_notes_are_indexed_and_only_they_are_embedded(
    settings: Settings, readiness: Readiness, follower: Follower, embedder: BigramEmbedder
) -> None:
    embedder.passages.clear()
    write_notes(settings.corpus, NEW_NOTE)
    follower.look(notes_changed=True)
    assert readiness.assistant.snapshot_id == id_in_use(settings.index)
    assert readiness.assistant.search("合言葉").hits[0].chunk.doc_id == "新しい.md"
    assert all("あさがお" in text for text in embedder.passages)


def test_a_change_that_changes_no_note_keeps_the_assistant(
    settings: Settings, readiness: Readiness, follower: Follower
) -> None:
    before = readiness.assistant
    (settings.corpus / "aws" / "sqs.md").touch()
    follower.look(notes_changed=True)
    assert readiness.assistant is before


def test_new_aliases_are_taken_up_without_a_new_snapshot(
    settings: Settings, readiness: Readiness, follower: Follower
) -> None:
    before = readiness.assistant
    (settings.corpus / "aliases.toml").write_text('"光合成" = ["こうごう"]\n', encoding="utf-8")
    follower.look(notes_changed=True)
    after = readiness.assistant
    assert after is not before
    assert after.snapshot_id == before.snapshot_id
    assert after.search("こうごう").hits[0].chunk.doc_id == "生物.md"


def lose_the_notes(settings: Settings) -> None:
    shutil.rmtree(settings.corpus)


def break_the_aliases(settings: Settings) -> None:
    (settings.corpus / "aliases.toml").write_text("[[", encoding="utf-8")


@pytest.mark.parametrize("fault", [lose_the_notes, break_the_aliases], ids=lambda f: f.__name__)
def test_a_failing_reindex_is_told_once_and_the_old_snapshot_answers(
    fault: Callable[[Settings], None],
    settings: Settings,
    readiness: Readiness,
    follower: Follower,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = readiness.assistant
    fault(settings)
    follower.look(notes_changed=True)
    monkeypatch.setattr(following, "RETRY_SECONDS", 0)
    for _ in range(3):
        follower._not_before = 0
        follower.look(notes_changed=False)
    assert readiness.assistant is before
    assert before.search("光合成").hits
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("ERROR", "api.following")


def test_what_failed_is_tried_again(
    settings: Settings, readiness: Readiness, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = readiness.assistant
    write_notes(settings.corpus, NEW_NOTE)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rag.snapshot.sync", fail)
        follower.look(notes_changed=True)
    assert readiness.assistant is before
    follower.look(notes_changed=False)
    assert readiness.assistant is before  # not at once
    follower._not_before = 0
    follower.look(notes_changed=False)
    assert len(readiness.assistant.documents()) == 4


def test_a_damaged_new_snapshot_is_not_taken_up(
    settings: Settings,
    readiness: Readiness,
    follower: Follower,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = readiness.assistant
    write_notes(settings.corpus, NEW_NOTE)
    newer = in_another_process(settings)
    (folder_of(settings.index, newer) / "chunks.jsonl").write_bytes(b"{}\n")
    follower.look(notes_changed=False)
    assert readiness.assistant is before
    assert "chunks.jsonl was altered" in caplog.text


def test_the_memory_of_a_replaced_snapshot_is_freed_once_nobody_reads_it(
    settings: Settings, readiness: Readiness, follower: Follower
) -> None:
    first = readiness.assistant
    assert isinstance(first, Assistant)
    reading = first.stream("光合成はどこで行われるか")
    next(reading)
    memory = weakref.ref(first.snapshot)
    del first
    write_notes(settings.corpus, NEW_NOTE)
    follower.look(notes_changed=True)
    gc.collect()
    assert memory() is not None
    list(reading)
    del reading
    follower._collect_at = 0
    follower.look(notes_changed=False)
    assert memory() is None


def test_models_are_shared_by_successive_assistants(
    settings: Settings, readiness: Readiness, follower: Follower
) -> None:
    before = readiness.assistant
    write_notes(settings.corpus, NEW_NOTE)
    follower.look(notes_changed=True)
    after = readiness.assistant
    assert isinstance(before, Assistant)
    assert isinstance(after, Assistant)
    assert after.embedder is before.embedder
    assert after._generators is before._generators


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.md", True),
        ("sub/b.HTML", True),
        ("aliases.toml", True),
        ("moved-folder", True),
        ("picture.png", False),
        (".git/index.md", False),
        ("sub/.a.md.swp", False),
    ],
)
def test_only_what_may_be_a_note_wakes_the_indexer(
    name: str, expected: bool, tmp_path: Path
) -> None:
    path = tmp_path / name
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert may_be_a_note(tmp_path, path) is expected


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not met():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def client(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The service with `--watch`, looking often."""
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(following, "QUIET_SECONDS", 0.05)
    watching = settings.model_copy(update={"watch": True})
    with TestClient(create_app(watching, Assistant.open(watching))) as client:
        until(lambda: "kotae-follower" in {thread.name for thread in threading.enumerate()})
        yield client


def note_ids(client: TestClient) -> set[str]:
    return {note["doc_id"] for note in client.get("/api/documents").json()["documents"]}


def test_a_watching_service_follows_its_notes(client: TestClient, settings: Settings) -> None:
    write_notes(settings.corpus, NEW_NOTE)
    until(lambda: "新しい.md" in note_ids(client))
    (settings.corpus / "新しい.md").rename(settings.corpus / "別名.md")
    until(lambda: "別名.md" in note_ids(client) and "新しい.md" not in note_ids(client))
    (settings.corpus / "aws").rename(settings.corpus / "クラウド")
    until(lambda: "クラウド/sqs.md" in note_ids(client))
    body = client.post("/api/ask", json={"question": "合言葉は？"}).json()
    assert body["snapshot_id"] == client.get("/readyz").json()["snapshot_id"]
    assert body["citations"][0]["doc_id"] == "別名.md"


def test_a_folder_of_notes_that_goes_and_comes_back_is_followed_again(
    client: TestClient, settings: Settings, tmp_path: Path
) -> None:
    settings.corpus.rename(tmp_path / "away")
    assert len(note_ids(client)) == 3
    write_notes(settings.corpus, NEW_NOTE)
    until(lambda: note_ids(client) == {"新しい.md"})
    write_notes(settings.corpus, {"もう一つ.md": "さらに一つ。\n"})
    until(lambda: len(note_ids(client)) == 2)


def test_the_follower_ends_with_the_service(settings: Settings) -> None:
    with TestClient(create_app(settings, Assistant.open(settings))):
        pass
    until(lambda: "kotae-follower" not in {thread.name for thread in threading.enumerate()})
