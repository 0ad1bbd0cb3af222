"""Indexers killed at random instants, hundreds of times: what they leave is whole, old or new.

    python -m tests.kills --kills 200          # a tiny embedder, so that most of a run is files
    python -m tests.kills --kills 40 --real    # `kotae index` with the bundled model

Every kill is a SIGKILL to a process that runs `kotae index` over notes just changed; often the
next one strikes upon what the last one left, sometimes while a second indexer is at work. After
each the index is opened, searched and compared with the notes before and after the change.
Exit status 1 if anything was lost, mixed or told by a traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rag import embedding, embedding_run, token_segments
from rag.aliases import Aliases
from rag.config import DEFAULT_EMBEDDER, Settings
from rag.embedding import open_embedder
from rag.errors import IndexMissingError, SnapshotError
from rag.indexing import PARTIAL, build_snapshot, recipe_of
from rag.loading import load_corpus
from rag.protocols import Embedder
from rag.retrieval import Retriever
from rag.snapshot import Snapshot, open_snapshot
from rag.snapshot_folders import id_in_use
from tests.fakes import BigramEmbedder, silent
from tests.forked_indexer import ForkedIndexer

NOTE_COUNT = 12
WORDS = ("朝顔", "紫陽花", "向日葵", "秋桜", "水仙", "椿", "木蓮", "山吹", "桔梗", "芙蓉")
CHANCE_OF_FINISHING = 0.3
CHANCE_OF_A_SECOND_INDEXER = 0.15

State = Mapping[str, str]
"""The notes of a corpus: file name → text."""


@dataclass
class Tally:
    """What was tried and what came of it."""

    kills: int = 0
    finished_before_the_kill: int = 0
    killed_while: Counter[str] = field(default_factory=Counter)
    old_stood: int = 0
    new_stood: int = 0
    runs_to_the_end: int = 0
    searches: int = 0
    lost: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing mixed, no traceback."""
        return not (self.lost or self.mixed or self.tracebacks)


class CliIndexer:
    """`kotae index` as a user starts it, with the bundled model."""

    def __init__(self, settings: Settings, log: Path) -> None:
        paths = ("--corpus", str(settings.corpus), "--index", str(settings.index))
        script = "from rag.cli import main; main()"
        self._command = [sys.executable, "-c", script, "index", *paths]
        self._log = log

    def start(self, fatal_step: int | None = None) -> int:
        """The process id; `fatal_step` is for indexers that can count their steps."""
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, stdout=log, stderr=log).pid

    @property
    def steps(self) -> int:
        """How many steps the last whole run took: not known."""
        return 0


class Trial:
    """One index, changed, killed and looked at again and again."""

    def __init__(self, folder: Path, seed: int, real: bool) -> None:
        self.random = random.Random(seed)
        self.settings = Settings(
            corpus=folder / "corpus",
            index=folder / "index",
            embedder=DEFAULT_EMBEDDER if real else "bigram",
        )
        self.log = folder / "stderr.txt"
        self.embedder: Embedder = (
            open_embedder(DEFAULT_EMBEDDER, lambda done, total: None) if real else BigramEmbedder()
        )
        self.indexer = (CliIndexer if real else ForkedIndexer)(self.settings, self.log)
        self.recipe = recipe_of(self.settings, self.embedder)
        self.tally = Tally()
        self.version = 0
        self.old: State = {}  # what the snapshot in use holds; nothing before the first
        self.new: State = {}
        self.seconds = 0.0

    def run(self, kills: int) -> None:
        """Until so many have been killed."""
        self._change_notes()
        self._finish()
        while self.tally.kills < kills:
            if self.random.random() < CHANCE_OF_FINISHING:
                self._finish()
            self._change_notes()
            self._kill_once()
        self._finish()

    def _change_notes(self) -> None:
        """Some notes are written anew, one may go, one may come."""
        self.version += 1
        notes = dict(self.new)
        for number in range(NOTE_COUNT):
            name = f"部{number % 3}/ノート{number}.md"
            chance = self.random.random()
            if chance < 0.15 and len(notes) > 2:
                notes.pop(name, None)
            elif chance < 0.5 or not self.old:
                notes[name] = self._note(number)
        self.new = notes
        for path in self.settings.corpus.rglob("*.md"):
            path.unlink()
        for name, text in notes.items():
            path = self.settings.corpus / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def _note(self, number: int) -> str:
        words = self.random.sample(WORDS, 4)
        lines = "\n\n".join(
            f"## 第{section}節\n\nノート{number}の第{self.version}版、"
            f"第{section}節の合言葉は{word}{self.random.randint(1000, 9999)}である。"
            + "説明が続く。"
            * self.random.randint(0, 30)
            for section, word in enumerate(words)
        )
        return f"# ノート{number}\n\n{lines}\n"

    def _kill_once(self) -> None:
        before = id_in_use(self.settings.index, default="")
        steps = self.indexer.steps
        step = self.random.randint(1, steps) if steps and self.random.random() < 0.5 else None
        process = self.indexer.start(step)
        second = self.indexer.start() if self.random.random() < CHANCE_OF_A_SECOND_INDEXER else None
        if step is None:
            time.sleep(self.random.uniform(0, self.seconds))
            os.kill(process, signal.SIGKILL)
        status = os.waitpid(process, 0)[1]
        if os.WIFSIGNALED(status):
            self.tally.kills += 1
            self.tally.killed_while[self._phase(before)] += 1
        else:
            self.tally.finished_before_the_kill += 1
            self._check_status(status)
        if second is not None:
            self._check_status(os.waitpid(second, 0)[1])
        self._compare()

    def _finish(self) -> None:
        """A run that nobody kills: it brings the index up to date, whatever it found there."""
        before = id_in_use(self.settings.index, default="")
        began = time.monotonic()
        self._check_status(os.waitpid(self.indexer.start(), 0)[1])
        self.seconds = time.monotonic() - began
        self.tally.runs_to_the_end += 1
        self._compare()
        if self.old != self.new:
            self.tally.lost.append(f"version {self.version} is not in the index")
        left = [path for path in self.settings.index.rglob(".*") if path.name != ".lock"]
        if left and id_in_use(self.settings.index) != before:
            self.tally.mixed.append(f"version {self.version} leaves {left}")

    def _check_status(self, status: int) -> None:
        if os.waitstatus_to_exitcode(status) != 0:
            self.tally.lost.append(f"version {self.version} ended with status {status}")

    def _phase(self, before: str) -> str:
        """What the killed one was doing, by what it left."""
        index = self.settings.index
        if id_in_use(index, default="") != before:
            return "cleaning up"
        if list(index.glob("snapshots/.*")):
            return "writing"
        if (index / ".CURRENT.new").exists():
            return "swapping"
        return "embedding" if (index / PARTIAL).exists() else "reading"

    def _compare(self) -> None:
        """The index is the old one or the new one, in every part of it, and can be searched."""
        what = f"version {self.version}"
        try:
            snapshot = open_snapshot(self.settings.index, self.recipe)
        except IndexMissingError:
            if self.old:
                self.tally.lost.append(f"{what}: no index")
            return
        except SnapshotError as error:
            self.tally.lost.append(f"{what}: {error}")
            return
        found = {name: note.text for name, note in snapshot.documents.items()}
        if found == self.new:
            self.tally.new_stood += 1
            self.old = self.new
        elif found == self.old:
            self.tally.old_stood += 1
        else:
            self.tally.mixed.append(f"{what}: {sorted(found)}")
        self._search(snapshot, found)
        self._look_for_tracebacks()

    def _search(self, snapshot: Snapshot, notes: State) -> None:
        """A line of a note finds it, and all that is found are words of the notes in this state."""
        retriever = Retriever(snapshot, self.embedder, Aliases.of([]))
        for name, text in self.random.sample(sorted(notes.items()), min(4, len(notes))):
            line = self.random.choice([line for line in text.splitlines() if "合言葉" in line])
            chunks = [hit.chunk for hit in retriever.search(line[:60]).hits]
            self.tally.searches += 1
            if name not in {chunk.doc_id for chunk in chunks}:
                self.tally.lost.append(f"version {self.version}: {line!r} does not find {name}")
            for chunk in chunks:
                if notes[chunk.doc_id][chunk.start_index : chunk.end_index] != chunk.text:
                    self.tally.mixed.append(f"version {self.version}: {line!r} gives {chunk}")

    def _look_for_tracebacks(self) -> None:
        if self.log.exists() and "Traceback" in (told := self.log.read_text(errors="replace")):
            self.tally.tracebacks.append(told[-2000:])
        self.log.unlink(missing_ok=True)

    def check_vectors(self) -> None:
        """After all of it the vectors are those of an index built from nothing."""
        kept = open_snapshot(self.settings.index, self.recipe)
        documents = load_corpus(self.settings.corpus, self.settings.max_note_bytes).documents
        anew = build_snapshot(documents, self.settings, self.embedder, silent)
        far = abs(kept.dense.units.vectors() - anew.dense.units.vectors()).max()
        if list(kept.chunks) != list(anew.chunks) or far > 1e-3:
            self.tally.mixed.append(f"differs from an index built from nothing, by {far}")


def main() -> None:
    """Prints the tally as JSON; exits with 1 unless it is clean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", action="store_true", help="the bundled model")
    options = parser.parse_args()
    embedding.EMBEDDERS = {**embedding.EMBEDDERS, "bigram": lambda name, progress: BigramEmbedder()}
    embedding_run.SLICE = 8  # so that interrupted runs leave something behind
    token_segments.SHARED_BYTES = 4_000  # so that snapshots share files, as large ones do
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), options.seed, options.real)
        began = time.monotonic()
        trial.run(options.kills)
        trial.check_vectors()
        seconds = round(time.monotonic() - began, 1)
    print(json.dumps(vars(trial.tally) | {"seconds": seconds}, ensure_ascii=False, indent=2))  # noqa: T201
    sys.exit(not trial.tally.clean)


if __name__ == "__main__":
    main()
