"""Every error a user can meet, as one tree; each class has a stable `code`.

RagError
├── ConfigError              config             a setting is wrong or unknown
├── NoteError                note               one note cannot be read (the others still are)
├── EmptyCorpusError         empty_corpus       no folder, or no note in it
├── ModelError               model              an embedding model does not open
├── SnapshotError            index              an index on disk is not usable
│   ├── IndexMissingError    index_missing      nothing built yet
│   ├── IndexMismatchError   index_mismatch     built with another model, chunking, …
│   ├── IndexCorruptError    index_corrupt      a file is missing or its checksum is wrong
│   ├── IndexWriteError      index_write        the snapshot could not be written
│   └── EngineError          index_engine       Qdrant does not answer, or lacks the snapshot
├── QuestionError            question           empty, too long, not text
├── NotFoundError            not_found          no such note
└── GeneratorError           generator          an answer model is unknown or fails
"""

from __future__ import annotations


class RagError(Exception):
    """Something a user can mend; the message says what, the value, and what to do."""

    code = "internal"


class ConfigError(RagError):
    """A setting is unknown or its value is out of bounds."""

    code = "config"


class NoteError(RagError):
    """One note cannot be read; `path` names it."""

    code = "note"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class EmptyCorpusError(RagError):
    """The corpus folder is absent or holds no readable note."""

    code = "empty_corpus"


class ModelError(RagError):
    """An embedding model or reranker does not open."""

    code = "model"


class SnapshotError(RagError):
    """Base of what can be wrong with an index on disk."""

    code = "index"


class IndexMissingError(SnapshotError):
    """No snapshot has been built."""

    code = "index_missing"


class IndexMismatchError(SnapshotError):
    """The snapshot was built with something else than is configured now."""

    code = "index_mismatch"

    def __init__(self, field: str, built_with: object, current: object) -> None:
        super().__init__(
            f"the index was built with {field} = {built_with!r}, but {current!r} is configured; "
            "run `kotae index` to rebuild it"
        )
        self.field = field


class IndexCorruptError(SnapshotError):
    """A file of the snapshot is missing, truncated or altered."""

    code = "index_corrupt"


class IndexWriteError(SnapshotError):
    """The snapshot could not be written (disk full, read-only folder); the old one stands."""

    code = "index_write"


class EngineError(SnapshotError):
    """The engine that searches the index does not answer, or does not hold the snapshot."""

    code = "index_engine"


class QuestionError(RagError):
    """A question that cannot be searched for."""

    code = "question"


class NotFoundError(RagError):
    """No note of that id."""

    code = "not_found"


class GeneratorError(RagError):
    """An answer model is unknown, unreachable or broke off; `reason` is one of FAILURES."""

    code = "generator"

    def __init__(self, message: str, reason: str = "failed") -> None:
        if reason not in FAILURES:
            raise ValueError(f"reason {reason!r} is none of {sorted(FAILURES)}")
        super().__init__(message)
        self.reason = reason


FAILURES = frozenset(
    {
        "failed",  # whatever has no name of its own
        "unreachable",  # no connection, or one that broke off
        "timeout",  # nothing came for too long, or the whole took too long
        "busy",  # too many calls hang already
        "rate_limited",
        "refused",  # wrong key, unknown model, a request that the server does not take
        "server_error",
        "cut_off",  # the stream ended before the answer did
        "too_long",
        "empty",
        "unconfirmed",  # not one statement stood up to verification
    }
)
"""Why an answer model's answer is not shown; each has its sentence in rag/presenting.py."""
