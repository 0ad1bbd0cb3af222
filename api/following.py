"""A running service follows the index: it takes up new snapshots, and re-indexes changed notes."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from api.answering import Answering, Readiness
from api.errors import log_unknown_error
from rag.aliases import CORPUS_ALIASES
from rag.config import Settings
from rag.errors import RagError
from rag.loading import NOTE_SUFFIXES

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often it is looked whether another process has put a new snapshot in use."""
QUIET_SECONDS = 0.5
"""Changes are taken up once none has followed for so long: an editor or `git pull` writes many."""
LONGEST_WAIT_SECONDS = 5.0
"""Changes that never pause are taken up after so long."""
RETRY_SECONDS = 30.0
"""What failed is tried again after so long, or with the next change of a note."""
COLLECT_SECONDS = 30.0
STOP_SECONDS = 5.0


class Follower:
    """Keeps a Readiness on the newest snapshot, from a thread of its own, while it is entered."""

    def __init__(self, settings: Settings, readiness: Readiness) -> None:
        self._settings = settings
        self._readiness = readiness
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kotae-follower", daemon=True)
        self._failure = ""
        self._reindex_again = False
        self._not_before = 0.0
        self._replaced: list[weakref.ref[Answering]] = []
        self._collect_at = 0.0

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        # A re-index that takes longer dies with the process: what is on disk stays whole.
        self._thread.join(STOP_SECONDS)

    def look(self, notes_changed: bool) -> None:
        """Takes up what is new; after a failure the old snapshot goes on answering."""
        if not notes_changed and time.monotonic() < self._not_before:
            return
        reindex = notes_changed or self._reindex_again
        try:
            self._take_up(reindex)
        except Exception as error:
            self._tell_failure(error, again=not notes_changed)
            self._reindex_again = reindex
            self._not_before = time.monotonic() + RETRY_SECONDS
        else:
            self._failure, self._reindex_again, self._not_before = "", False, 0.0
        self._collect_replaced()

    def _take_up(self, reindex: bool) -> None:
        began = time.monotonic()
        old = self._readiness.assistant
        new = old.renewed(reindex=reindex)
        if new is None:
            return
        self._readiness.replace(new)
        self._replaced.append(weakref.ref(old))
        logger.info(
            "snapshot %s answers now, with %d notes, in place of %s (%.1f s)",
            new.snapshot_id,
            len(new.documents()),
            old.snapshot_id,
            time.monotonic() - began,
        )

    def _tell_failure(self, error: Exception, again: bool) -> None:
        """Once, not each time that it is tried again."""
        if again and repr(error) == self._failure:
            return
        self._failure = repr(error)
        why = str(error) if isinstance(error, RagError) else f"id {log_unknown_error(error)}"
        logger.error("the change of notes or index is not taken up, the old answer: %s", why)

    def _collect_replaced(self) -> None:
        """Frees the memory of snapshots that no request reads any more; they refer to themselves.

        Not at every look, for a collection stops all threads.
        """
        if self._replaced and time.monotonic() >= self._collect_at:
            gc.collect()
            self._replaced = [known for known in self._replaced if known() is not None]
            self._collect_at = time.monotonic() + COLLECT_SECONDS

    def _run(self) -> None:
        for notes_changed in self._looks():
            self.look(notes_changed)

    def _looks(self) -> Iterator[bool]:
        """One item each time it is to be looked: have notes changed since the last?"""
        while not self._stop.is_set():
            folder = self._watched_folder()
            if folder is not None:
                yield from self._watch(folder)
            elif not self._stop.wait(LOOK_SECONDS) and self._readiness.is_open:
                yield False

    def _watched_folder(self) -> os.stat_result | None:
        """The folder to be watched, if it is there and there is an assistant to be renewed."""
        if not (self._settings.watch and self._readiness.is_open):
            return None
        with suppress(OSError):
            return self._settings.corpus.stat()
        return None

    def _watch(self, folder: os.stat_result) -> Iterator[bool]:
        """Until the folder is gone, or another stands in its place."""
        from watchfiles import watch

        corpus = self._settings.corpus
        logger.info("watching the notes in %s", corpus)
        unwatched = True  # what changed before the first item came, nobody saw
        try:
            for changes in watch(
                corpus,
                watch_filter=lambda _, path: may_be_a_note(corpus, Path(path)),
                debounce=int(LONGEST_WAIT_SECONDS * 1000),
                step=int(QUIET_SECONDS * 1000),
                rust_timeout=int(LOOK_SECONDS * 1000),
                yield_on_timeout=True,
                stop_event=self._stop,
                raise_interrupt=False,
            ):
                yield unwatched or bool(changes)
                unwatched = False
                now = self._watched_folder()
                if now is None or not os.path.samestat(now, folder):
                    return
        except (OSError, RuntimeError) as error:
            if self._watched_folder() is not None:  # else it went just now
                every = f"looking for changes every {RETRY_SECONDS:.0f} s"
                logger.error("%s cannot be watched (%s); %s", corpus, error, every)
                self._stop.wait(RETRY_SECONDS)


def may_be_a_note(corpus: Path, path: Path) -> bool:
    """Whether a change of `path` may change the notes: theirs, or that of a folder of theirs."""
    if any(part.startswith(".") for part in path.parts[len(corpus.absolute().parts) :]):
        return False
    known = path.suffix.lower() in NOTE_SUFFIXES or path.name == CORPUS_ALIASES
    return known or not path.is_file()
