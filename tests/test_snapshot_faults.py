"""What an index does that was damaged, cut off, locked or moved in time: it is whole or says so."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from rag import token_segments
from rag.config import Settings
from rag.errors import IndexCorruptError, IndexMissingError, IndexWriteError
from rag.indexing import build_snapshot, fresh_snapshot, recipe_of
from rag.loading import load_corpus
from rag.snapshot import Snapshot, open_last_good, open_snapshot, write_snapshot
from rag.snapshot_folders import folder_of, id_in_use, ids_standing_by
from tests.fakes import NOTES, BigramEmbedder, make_settings, silent, write_notes

RECIPE = recipe_of(Settings(embedder="bigram"), BigramEmbedder())
NEW_NOTE = {"新しい.md": "## 新しい節\n\nあとから加えた文である。\n"}


def refresh(settings: Settings) -> tuple[str, list[str]]:
    """The id of the snapshot of the notes as they are, and the texts that were embedded for it."""
    embedder = BigramEmbedder()
    snapshot, _ = fresh_snapshot(settings, embedder, silent)
    return snapshot.manifest.snapshot_id, embedder.passages


@pytest.fixture(scope="module")
def twice_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus whose index holds the snapshot in use and the one before it."""
    folder = tmp_path_factory.mktemp("twice")
    settings = make_settings(folder)
    refresh(settings)
    write_notes(settings.corpus, NEW_NOTE)
    refresh(settings)
    return folder


@pytest.fixture
def settings(twice_built: Path, tmp_path: Path) -> Settings:
    shutil.copytree(twice_built, tmp_path / "own")
    return Settings(corpus=tmp_path / "own/corpus", index=tmp_path / "own/index", embedder="bigram")


def files_in_use(index: Path) -> list[str]:
    """The manifest and every file that it lists, however many these are."""
    folder = folder_of(index, id_in_use(index))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return ["manifest.json", *manifest["checksums"]]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x81
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: tuple[Callable[[Path], None], ...] = (flip, truncate, empty, Path.unlink)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_makes_the_last_good_snapshot_answer(
    damage: Callable[[Path], None], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    index = settings.index
    (good,) = ids_standing_by(index)
    for name in files_in_use(index):
        path = folder_of(index, id_in_use(index)) / name
        whole = path.read_bytes()
        damage(path)
        if name == "manifest.json" and damage is flip:
            empty(path)  # one byte of it may be of no account: test_snapshot.py tries each
        with pytest.raises(IndexCorruptError, match=name):
            open_snapshot(index, RECIPE)
        caplog.clear()
        assert open_last_good(index, RECIPE).manifest.snapshot_id == good
        (record,) = caplog.records
        assert name in record.getMessage()
        assert good in record.getMessage()
        path.write_bytes(whole)
    assert open_snapshot(index, RECIPE).manifest.counts["documents"] == 4


@pytest.mark.parametrize("pointer", [b"", b"nowhere\n", b"..\n", b"\xff\0", None], ids=repr)
def test_a_lost_pointer_makes_the_newest_whole_snapshot_answer(
    pointer: bytes | None, settings: Settings
) -> None:
    newest = id_in_use(settings.index)
    (settings.index / "CURRENT").unlink()
    if pointer is not None:
        (settings.index / "CURRENT").write_bytes(pointer)
    assert open_last_good(settings.index, RECIPE).manifest.snapshot_id == newest
    mended, embedded = refresh(settings)
    assert embedded == []
    assert open_snapshot(settings.index, RECIPE).manifest.snapshot_id == mended


def test_what_was_damaged_is_mended_from_the_last_good_snapshot(settings: Settings) -> None:
    (good,) = ids_standing_by(settings.index)
    damaged = id_in_use(settings.index)
    flip(folder_of(settings.index, damaged) / "chunks.jsonl")
    mended, embedded = refresh(settings)
    assert all("あとから加えた文" in text for text in embedded)
    assert id_in_use(settings.index) == mended
    assert ids_standing_by(settings.index) == [good]  # not the damaged one, though it is newer
    assert open_snapshot(settings.index, RECIPE).manifest.counts["documents"] == 4


def test_where_no_snapshot_is_whole_the_index_says_so(settings: Settings) -> None:
    for snapshot_id in (id_in_use(settings.index), *ids_standing_by(settings.index)):
        truncate(folder_of(settings.index, snapshot_id) / "documents.jsonl")
    with pytest.raises(IndexCorruptError, match=id_in_use(settings.index)):
        refresh(settings)


def test_a_damaged_index_that_cannot_be_written_still_answers(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (good,) = ids_standing_by(settings.index)
    empty(folder_of(settings.index, id_in_use(settings.index)) / "chunks.jsonl")
    monkeypatch.setattr("rag.indexing.FileLock.acquire", refuse)
    with pytest.raises(IndexWriteError, match="Read-only"):  # the notes have changed since then
        refresh(settings)
    for name in NEW_NOTE:
        (settings.corpus / name).unlink()
    assert refresh(settings) == (good, [])
    assert "Read-only" in caplog.text


def refuse(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.EROFS, "Read-only file system")


def test_a_clock_set_back_neither_loses_nor_revives_a_snapshot(settings: Settings) -> None:
    before = id_in_use(settings.index)
    for number, snapshot_id in enumerate((before, *ids_standing_by(settings.index))):
        times = (4e9 + number, 4e9 + number)  # the year 2096: all that is written now seems older
        os.utime(folder_of(settings.index, snapshot_id), times)
    write_notes(settings.corpus, {"なおあと.md": "さらに後で加えた。\n"})
    after, _ = refresh(settings)
    assert id_in_use(settings.index) == after
    assert ids_standing_by(settings.index) == [before]


def test_readers_never_meet_a_half_or_a_pruned_snapshot(settings: Settings) -> None:
    documents = load_corpus(settings.corpus, settings.max_note_bytes).documents
    done = threading.Event()

    def swap_often() -> None:
        for _ in range(12):
            snapshot = build_snapshot(documents, settings, BigramEmbedder(), silent)
            write_snapshot(settings.index, snapshot)
        done.set()

    writer = threading.Thread(target=swap_often)
    writer.start()
    found: list[Snapshot] = []
    while not done.is_set():
        found.append(open_last_good(settings.index, RECIPE))
    writer.join()
    assert {len(snapshot.documents) for snapshot in found} == {4}
    assert len({snapshot.manifest.snapshot_id for snapshot in found}) > 2


@pytest.fixture
def indexer(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of an indexer, for good."""
    script = (
        "import sys, time; from pathlib import Path; from rag.indexing import _only_indexer\n"
        "with _only_indexer(Path(sys.argv[1])): print('locked', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(settings.index)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_lock_of_a_killed_indexer_locks_nothing(
    settings: Settings, indexer: subprocess.Popen[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_notes(settings.corpus, {"なおあと.md": "さらに後で加えた。\n"})
    waiting = threading.Thread(target=refresh, args=(settings,))
    with caplog.at_level(logging.WARNING):
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert "another process is indexing" in caplog.text
        os.kill(indexer.pid, signal.SIGKILL)
        waiting.join(10)
    assert not waiting.is_alive()
    assert open_snapshot(settings.index, RECIPE).manifest.counts["documents"] == 5
    assert (settings.index / ".lock").exists()


def test_an_index_folder_without_anything_is_missing_not_damaged(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    with pytest.raises(IndexMissingError):
        open_last_good(tmp_path, RECIPE)


def test_the_fallback_is_for_the_same_notes(settings: Settings) -> None:
    """An index that fell back holds what its notes said then, in every file of it."""
    (good,) = ids_standing_by(settings.index)
    flip(folder_of(settings.index, id_in_use(settings.index)) / "documents.jsonl")
    found = open_last_good(settings.index, RECIPE)
    assert found.manifest.snapshot_id == good
    assert set(found.documents) == set(NOTES)
    assert {chunk.doc_id for chunk in found.chunks} == set(NOTES)


def test_damage_to_what_two_snapshots_share_is_told_and_mended_from_the_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_segments, "SHARED_BYTES", 1)
    settings = make_settings(tmp_path)
    refresh(settings)
    write_notes(settings.corpus, NEW_NOTE)
    refresh(settings)
    flip(folder_of(settings.index, id_in_use(settings.index)) / "tokens-0.bin")
    with pytest.raises(IndexCorruptError, match=r"tokens-0\.bin.*run `kotae index`"):
        refresh(settings)
    fresh_snapshot(settings, BigramEmbedder(), silent, rebuild=True)
    assert open_snapshot(settings.index, RECIPE).manifest.counts["documents"] == 4
