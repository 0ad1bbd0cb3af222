from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from rag import snapshot as snapshot_module
from rag import snapshot_folders
from rag.config import Settings
from rag.dense import FaissIndex
from rag.errors import (
    IndexCorruptError,
    IndexMismatchError,
    IndexMissingError,
    IndexWriteError,
    SnapshotError,
)
from rag.indexing import build_snapshot, fresh_snapshot, recipe_of
from rag.lexical import BM25Index
from rag.loading import make_document
from rag.snapshot import Manifest, Recipe, Snapshot, open_snapshot, write_snapshot
from rag.snapshot_files import sha256_of
from tests.fakes import NOTES, BigramEmbedder, make_settings, silent

RECIPE = recipe_of(Settings(embedder="bigram"), BigramEmbedder())
FILES = (
    "documents.jsonl",
    "chunks.jsonl",
    "dense.faiss",
    "words.npz",
    "bigrams.npz",
    "tokens.npz",
    "tokens-0.bin",
    "manifest.json",
)
ODD_NOTES = {
    "ascii.md": "plain words only\n",
    "line ends.txt": "一行目\r\n二行目\r三行目\u2028四行目\x85五行目\n",
    "emoji.md": "## 👨‍👩‍👧\n\nか\u3099 は結合文字、🄰 は補助面の字。\n",
    "surrogate.md": "片割れ\ud83dのサロゲート\udc00がある。\n",
    "symbols.md": "★☆★☆ ---- !!!!\n",
}


def build(notes: dict[str, str]) -> Snapshot:
    documents = [make_document(name, text) for name, text in notes.items()]
    return build_snapshot(documents, Settings(embedder="bigram"), BigramEmbedder(), silent)


def folder_of(index: Path) -> Path:
    return index / "snapshots" / (index / "CURRENT").read_text(encoding="utf-8").strip()


def assert_same_bm25(first: BM25Index, second: BM25Index) -> None:
    assert (dict(first.terms), first.size) == (dict(second.terms), second.size)
    for name in ("starts", "rows", "counts", "weights"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def assert_same_contents(first: Snapshot, second: Snapshot) -> None:
    assert dict(first.documents) == dict(second.documents)
    assert list(first.chunks) == list(second.chunks)
    np.testing.assert_array_equal(first.dense.units.vectors(), second.dense.units.vectors())
    np.testing.assert_array_equal(first.dense.ends, second.dense.ends)
    assert_same_bm25(first.words, second.words)
    assert_same_bm25(first.bigrams, second.bigrams)
    np.testing.assert_array_equal(first.tokens.frequencies, second.tokens.frequencies)
    for row in range(len(first.chunks)):
        np.testing.assert_array_equal(first.tokens.records(row), second.tokens.records(row))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that tests copy before they damage it."""
    index = tmp_path_factory.mktemp("built") / "index"
    write_snapshot(index, build(dict(NOTES)))
    return index


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "index"))


@pytest.mark.parametrize("notes", [dict(NOTES), ODD_NOTES], ids=["plain", "odd"])
def test_what_is_opened_equals_what_was_written(notes: dict[str, str], tmp_path: Path) -> None:
    written = write_snapshot(tmp_path, build(notes))
    opened = open_snapshot(tmp_path, RECIPE)
    assert opened.manifest == written.manifest
    assert_same_contents(opened, written)


def test_a_note_without_a_body_makes_an_index_without_chunks(tmp_path: Path) -> None:
    write_snapshot(tmp_path, build({"a.md": "---\ntitle: 題\n---\n"}))
    opened = open_snapshot(tmp_path, RECIPE)
    assert (len(opened.documents), len(opened.chunks)) == (1, 0)


def test_the_manifest_tells_recipe_counts_and_the_checksum_of_every_file(index: Path) -> None:
    folder = folder_of(index)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["counts"] == {"documents": 3, "chunks": 4}
    assert manifest["recipe"]["embedder"] == "bigram"
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert manifest["checksums"] == {
        name: sha256_of(folder / name) for name in FILES if name != "manifest.json"
    }


def test_an_open_snapshot_needs_its_files_no_more(index: Path) -> None:
    opened = open_snapshot(index, RECIPE)
    shutil.rmtree(index)
    assert opened.tokens.tokens(0).vectors.shape[1] == BigramEmbedder().dim
    assert opened.dense.units.vectors().any()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0 if path.name == "manifest.json" else len(content) // 2] ^= 0x81
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    "damage", [flip, truncate, Path.unlink, Path.touch], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(name: str, damage: Callable[[Path], None], index: Path) -> None:
    path = folder_of(index) / name
    if damage is Path.touch:
        path.write_bytes(b"")
    else:
        damage(path)
    with pytest.raises(IndexCorruptError, match=f"{name} .*run `kotae index`"):
        open_snapshot(index, RECIPE)


def without_history(snapshot: Snapshot) -> Manifest:
    return replace(snapshot.manifest, built_at="", corpus="", corpus_hash="")


def test_no_flipped_bit_of_the_manifest_goes_unnoticed_where_it_matters(index: Path) -> None:
    path = folder_of(index) / "manifest.json"
    content = path.read_bytes()
    whole = open_snapshot(index, RECIPE)
    refused = 0
    for position in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            opened = open_snapshot(index, RECIPE)
        except SnapshotError:
            refused += 1
            continue
        # Only what nothing rests on may differ: when, from which folder, the hash of its notes.
        assert without_history(opened) == without_history(whole)
        assert_same_contents(opened, whole)
    assert refused > len(content) / 5 * 0.6


@pytest.mark.parametrize("content", [b"", b"nothing\n", b"../..\n", b"\xff\xfe", b"\0"], ids=repr)
def test_a_pointer_to_nowhere_is_corrupt(content: bytes, index: Path) -> None:
    (index / "CURRENT").write_bytes(content)
    with pytest.raises(IndexCorruptError, match="CURRENT"):
        open_snapshot(index, RECIPE)


def test_an_absent_index_is_missing(tmp_path: Path) -> None:
    for index in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(IndexMissingError, match="run `kotae index` to build one"):
            open_snapshot(index, RECIPE)


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe)])
def test_another_recipe_is_refused_with_the_field_and_the_command(name: str, index: Path) -> None:
    value = getattr(RECIPE, name)
    changed: Any = {name: value + 1 if isinstance(value, int) else "another"}
    other = replace(RECIPE, **changed)
    with pytest.raises(IndexMismatchError, match="run `kotae index`") as caught:
        open_snapshot(index, other)
    assert caught.value.field == name
    assert repr(value) in str(caught.value)


def test_a_schema_of_the_future_is_a_mismatch_whatever_it_holds(index: Path) -> None:
    path = folder_of(index) / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["recipe"] = {"schema_version": 99, "colour": "blue"}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(IndexMismatchError, match="schema_version = 99"):
        open_snapshot(index, RECIPE)


class Exploding:
    """Unpickled, it leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("name", ["words.npz", "bigrams.npz", "tokens.npz"])
def test_a_pickle_is_refused_unread_even_with_the_right_checksum(
    name: str, index: Path, tmp_path: Path
) -> None:
    folder, trace = folder_of(index), tmp_path / "unpickled"
    with np.load(folder / name) as arrays:
        pickled = {key: np.array([Exploding(trace)], dtype=object) for key in arrays}
    np.savez(folder / name, **pickled)  # type: ignore[arg-type]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["checksums"][name] = sha256_of(folder / name)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(IndexCorruptError, match=f"{name} cannot be read .*allow_pickle=False"):
        open_snapshot(index, RECIPE)
    assert not trace.exists()


def fail(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "step",
    ["write_documents", "write_chunks", "write_bm25", "write_tokens", "write_text", "sync"],
)
def test_a_full_disk_is_told_and_the_old_index_stands(
    step: str, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_snapshot(index, RECIPE).manifest
    before = sorted(path for path in index.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(snapshot_module, step, fail)
        with pytest.raises(IndexWriteError, match=r"No space left.*--index DIR.*old index"):
            write_snapshot(index, build(ODD_NOTES))
    assert open_snapshot(index, RECIPE).manifest == old
    assert sorted(path for path in index.rglob("*")) == before


@pytest.mark.parametrize("failing_call", [1, 2, 3, 4])
def test_a_disk_that_fills_up_while_swapping_leaves_the_old_index(
    failing_call: int, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's rename, the new pointer's write and sync, and its taking the old one's place."""
    old = open_snapshot(index, RECIPE).manifest
    before = sorted(path for path in index.rglob("*"))
    steps = [(Path, "rename"), (snapshot_folders, "write_text"), (snapshot_folders, "sync")]
    owner, name = [*steps, (Path, "replace")][failing_call - 1]
    real = getattr(owner, name)

    def fail_on_pointer(*arguments: Path) -> object:
        if name == "rename" or "CURRENT" in arguments[0].name:
            fail()
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail_on_pointer)
        with pytest.raises(IndexWriteError):
            write_snapshot(index, build(ODD_NOTES))
    assert open_snapshot(index, RECIPE).manifest == old
    assert sorted(path for path in index.rglob("*")) == before


@pytest.mark.parametrize("max_bytes", [100, 2000, 5000, 20_000])
def test_every_writer_notices_that_a_file_cannot_grow(max_bytes: int, index: Path) -> None:
    old = open_snapshot(index, RECIPE).manifest
    snapshot = build(dict(NOTES))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, hard))
    try:
        with pytest.raises(IndexWriteError):
            write_snapshot(index, snapshot)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert open_snapshot(index, RECIPE).manifest == old


def test_the_vectors_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    vectors = FaissIndex.build(np.eye(4, dtype=np.float32))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            vectors.save(tmp_path / "dense.faiss")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_old_snapshots_and_leftovers_of_the_killed_are_removed(index: Path) -> None:
    leftover = index / "snapshots" / ".20000101T000000-dead.1"
    leftover.mkdir()
    ids = [write_snapshot(index, build(dict(NOTES))).manifest.snapshot_id for _ in range(3)]
    found = {path.name for path in (index / "snapshots").iterdir()}
    assert found == set(ids[-2:])


def test_a_writer_killed_at_any_step_leaves_the_old_or_the_new_index_whole(
    processes: tuple[Path, str],
) -> None:
    folder = processes[0] / "killed"
    steps = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    found = [open_snapshot(folder / str(step) / "index", RECIPE) for step in steps]
    sizes = [len(snapshot.documents) for snapshot in found]
    assert sizes == sorted(sizes)  # once it is the new one, it stays so
    assert set(sizes) == {3, 4}
    assert len({snapshot.manifest.snapshot_id for snapshot in found}) == 2
    assert len(steps) > 30


def test_an_index_left_by_a_kill_is_taken_up_and_cleaned(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    fresh_snapshot(settings, BigramEmbedder(), silent)
    (settings.index / "snapshots" / ".half-written.1").mkdir()
    (settings.index / ".CURRENT.new").write_text("half", encoding="utf-8")
    (settings.corpus / "more.md").write_text("増えた文。", encoding="utf-8")
    fresh_snapshot(settings, BigramEmbedder(), silent)
    assert not list(settings.index.glob("snapshots/.*"))
    assert not (settings.index / ".CURRENT.new").exists()


def test_processes_that_index_at_once_embed_once(processes: tuple[Path, str]) -> None:
    ids, counts = zip(*(line.split() for line in processes[1].splitlines()), strict=True)
    assert len(set(ids)) == 1
    assert sorted(map(int, counts))[:2] == [0, 0]
    assert max(map(int, counts)) > 0


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the output of tests/index_processes.py."""
    folder = tmp_path_factory.mktemp("processes")
    done = subprocess.run(
        [sys.executable, "-m", "tests.index_processes", str(folder)],
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout
