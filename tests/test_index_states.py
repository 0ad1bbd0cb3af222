"""Notes are written, removed and indexed, indexers die, files break: a model says what must stand.

The index is compared with the model after every step. `make fuzz N=…` tries longer.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from rag import embedding_run, token_segments
from rag.aliases import Aliases
from rag.config import Settings
from rag.errors import EmptyCorpusError, IndexCorruptError, IndexMissingError
from rag.indexing import build_snapshot, fresh_snapshot, recipe_of
from rag.retrieval import Retriever
from rag.snapshot import Snapshot, open_last_good, open_snapshot
from rag.snapshot_folders import folder_of, id_in_use, ids_standing_by
from tests.fakes import BigramEmbedder, silent
from tests.forked_indexer import STEPS
from tests.test_snapshot import assert_same_contents

EXAMPLES = int(os.environ.get("KOTAE_TEST_EXAMPLES", "12"))
EMBEDDER = BigramEmbedder()
RECIPE = recipe_of(Settings(embedder="bigram"), EMBEDDER)
NAMES = ("甲.md", "部/乙.md", "部/丙.txt", "丁.md")
FLOWERS = ("朝顔", "紫陽花", "向日葵", "秋桜", "水仙")
Notes = Mapping[str, str]


class IndexerDied(BaseException):
    """Nothing that follows in the process reaches the disk."""


class _Fate:
    """Counts down the steps of the one indexer that is to die; None: nobody is."""

    steps_left: int | None = None
    watched = False


def _watch(event: str, arguments: object) -> None:
    if _Fate.steps_left is not None and event in STEPS:
        _Fate.steps_left -= 1
        if _Fate.steps_left <= 0:
            raise IndexerDied


@contextmanager
def dying_at(step: int) -> Iterator[None]:
    """Whatever is done at that step of writing, or after it, is not done any more."""
    if not _Fate.watched:
        sys.addaudithook(_watch)  # for good: it cannot be removed
        _Fate.watched = True
    _Fate.steps_left = step
    try:
        yield
    finally:
        _Fate.steps_left = None


class IndexMachine(RuleBasedStateMachine):
    """The notes on disk, the states that the index may hold, and what is broken."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.settings = Settings(
            corpus=self.folder / "corpus", index=self.folder / "index", embedder="bigram"
        )
        self.settings.corpus.mkdir()
        self.notes: dict[str, str] = {}
        self.possible: list[Notes | None] = [None]  # one of these answers; None: no index yet
        self.ever_whole: list[Notes] = []
        self.damaged = False

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(
        name=st.sampled_from(NAMES),
        flower=st.sampled_from(FLOWERS),
        length=st.sampled_from([0, 3, 40]),
    )
    def write_note(self, name: str, flower: str, length: int) -> None:
        text = f"## {name}\n\n{name}の合言葉は{flower}である。\n\n" + "埋め草が続く。" * length
        self.notes[name] = text
        path = self.settings.corpus / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    @precondition(lambda self: self.notes)
    @rule(data=st.data())
    def remove_note(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.notes)))
        del self.notes[name]
        (self.settings.corpus / name).unlink()

    @rule()
    def index(self) -> None:
        """As `kotae index` does: what cannot be mended is built anew."""
        try:
            with suppress(IndexCorruptError):
                self._refresh()
                return
            self._refresh(rebuild=True)
        except EmptyCorpusError:
            assert not self.notes

    def _refresh(self, rebuild: bool = False) -> None:
        snapshot, corpus = fresh_snapshot(self.settings, EMBEDDER, silent, rebuild)
        assert contents_of(snapshot) == self.notes
        anew = build_snapshot(corpus.documents, self.settings, EMBEDDER, silent)
        assert_same_contents(snapshot, anew)
        self.possible = [dict(self.notes)]
        self.ever_whole.append(dict(self.notes))
        self.damaged = False

    @precondition(lambda self: self.notes)
    @rule(step=st.integers(1, 45))
    def index_and_die(self, step: int) -> None:
        try:
            with dying_at(step), suppress(IndexCorruptError):
                self._refresh()
        except IndexerDied:
            self.possible.append(dict(self.notes))
            self.ever_whole.append(dict(self.notes))

    @precondition(lambda self: self.ever_whole)
    @rule(which=st.integers(0, 99), damage=st.sampled_from(["flip", "cut", "empty", "remove"]))
    def damage_the_snapshot_in_use(self, which: int, damage: str) -> None:
        in_use = id_in_use(self.settings.index, default="")
        files = sorted(folder_of(self.settings.index, in_use).iterdir()) if in_use else []
        if not files:
            return
        path = files[which % len(files)]
        raw = path.read_bytes()
        if damage == "remove":
            path.unlink()
        elif damage == "flip" and raw and path.name != "manifest.json":
            path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        else:
            path.write_bytes(raw[: len(raw) // 2] if damage == "cut" else b"")
        self.damaged = True

    @precondition(lambda self: self.ever_whole)
    @rule()
    def lose_the_pointer(self) -> None:
        if (self.settings.index / "CURRENT").exists():
            (self.settings.index / "CURRENT").write_bytes(b"nowhere\n")
            self.damaged = True

    @rule(seconds=st.sampled_from([0.0, 2e9, 4e9]))
    def set_the_clock(self, seconds: float) -> None:
        index = self.settings.index
        for snapshot_id in (id_in_use(index, default=""), *ids_standing_by(index)):
            if snapshot_id:
                os.utime(folder_of(index, snapshot_id), (seconds, seconds))

    @invariant()
    def what_answers_is_whole_and_was_once_the_notes(self) -> None:
        try:
            open_index = open_last_good if self.damaged else open_snapshot
            snapshot = open_index(self.settings.index, RECIPE)
        except IndexMissingError:
            assert None in self.possible
            return
        except IndexCorruptError:
            assert self.damaged
            return
        held = contents_of(snapshot)
        assert held in (self.ever_whole if self.damaged else self.possible)
        retriever = Retriever(snapshot, EMBEDDER, Aliases.of([]))
        for name, text in held.items():
            line = text.splitlines()[2]
            hits = retriever.search(line).hits
            assert name in {hit.chunk.doc_id for hit in hits}
            assert all(hit.chunk.text in held[hit.chunk.doc_id] for hit in hits)


def contents_of(snapshot: Snapshot) -> dict[str, str]:
    """The notes of a snapshot by name."""
    return {name: note.text for name, note in snapshot.documents.items()}


@pytest.mark.slow
@pytest.mark.parametrize("shared_bytes", [token_segments.SHARED_BYTES, 1], ids=["small", "large"])
def test_the_index_is_always_one_of_the_states_it_may_be_in(
    shared_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_segments, "SHARED_BYTES", shared_bytes)
    monkeypatch.setattr(embedding_run, "SLICE", 3)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # slow, and of no use against an exception
    run_machine(
        IndexMachine,
        settings=hypothesis_settings(max_examples=EXAMPLES, stateful_step_count=25, deadline=None),
    )
