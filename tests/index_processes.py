"""Indexers in processes of their own: killed at every step of writing, or many at once.

    python -m tests.index_processes FOLDER

leaves FOLDER/killed/<step>/index for each step, and prints the id of its snapshot and the number
of texts embedded for each of three processes that indexed FOLDER/raced at the same time.
Run apart from pytest, because a process that has started threads should not fork.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

from rag.indexing import build_snapshot, fresh_snapshot
from rag.loading import load_corpus
from rag.snapshot import Snapshot, write_snapshot
from tests.fakes import NOTES, BigramEmbedder, make_settings, silent

NEW_NOTE = {"新しい.md": "## 新しい節\n\nあとから加えた文である。\n"}
STEPS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "shutil.rmtree"}
"""Audit events, see https://docs.python.org/3/library/audit_events.html."""


def kill_at_every_step(folder: Path) -> None:
    """One old index after another; the writer of the new one dies at its first, second, … step."""
    old = make_settings(folder / "old")
    for _ in range(2):  # so that one of them is to be removed
        fresh_snapshot(old, BigramEmbedder(), silent, rebuild=True)
    new = make_settings(folder / "new", {**NOTES, **NEW_NOTE})
    documents = load_corpus(new.corpus, new.max_note_bytes).documents
    setattr(os, "fsync", lambda _: None)  # noqa: B010  (slow, and of no use against a kill)
    snapshot = build_snapshot(documents, new, BigramEmbedder(), silent)
    for step in count(1):
        index = folder / str(step) / "index"
        shutil.copytree(old.index, index)
        child = os.fork()
        if child == 0:
            _write_until(step, index, snapshot)
        status = os.waitpid(child, 0)[1]
        if status == 0:
            return
        if status != signal.SIGKILL:
            sys.exit(f"step {step} ended with {status}")


def _write_until(step: int, index: Path, snapshot: Snapshot) -> None:
    seen = 0

    def watch(event: str, arguments: object) -> None:
        nonlocal seen
        if event in STEPS:
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    write_snapshot(index, snapshot)
    os._exit(0)


def race(folder: Path) -> None:
    """Three processes index the same notes into the same folder at the same time."""
    settings = make_settings(folder)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            embedder = BigramEmbedder(pause_seconds=0.2)
            snapshot, _ = fresh_snapshot(settings, embedder, silent)
            line = f"{snapshot.manifest.snapshot_id} {len(embedder.passages)}\n"
            os.write(1, line.encode())
            os._exit(0)
        children.append(child)
    sys.exit(any(os.waitpid(child, 0)[1] for child in children))


if __name__ == "__main__":
    kill_at_every_step(Path(sys.argv[1], "killed"))
    race(Path(sys.argv[1], "raced"))
