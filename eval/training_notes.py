"""Notes and learners' questions about them → what the bundled model is trained with.

Beside each note NAME.md of eval/training/SUBJECT/ stands NAME.tsv, a question a line: its kind, the
question, and the words of the note that answer it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.bundled_embedding import BundledEmbedder
from rag.bundled_forward import Ids
from rag.bundled_model import MAX_TOKENS, PASSAGE_PREFIX, QUERY_PREFIX
from rag.chunking import (
    ChunkLimits,
    chunk_document,
    passage_of,
    readable_sentences,
    unit_numbers,
)
from rag.loading import load_corpus
from rag.types import Chunk, Document

KINDS = ("direct", "paraphrase", "scenario", "alias", "keywords", "typo")
Span = tuple[int, int]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Ids with prefix and special tokens, and which of them are the text's own."""

    ids: Ids
    own: Mask


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPassage:
    """A chunk: its tokens, and for each unit which of them are its (units, tokens)."""

    tokens: Tokens
    units: Mask


@dataclass(frozen=True, slots=True, eq=False)
class TrainingQuestion:
    """A question, the passages of its note that answer it, and the units: (passage, unit)."""

    tokens: Tokens
    passages: tuple[int, ...]
    units: tuple[Span, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingNote:
    """A note's chunks and the questions about it; `subject` is the name of its folder."""

    subject: str
    passages: tuple[TrainingPassage, ...]
    questions: tuple[TrainingQuestion, ...]

    @property
    def token_count(self) -> int:
        """Of all passages."""
        return sum(len(passage.tokens.ids) for passage in self.passages)


def load_training_notes(
    folder: Path, embedder: BundledEmbedder, limits: ChunkLimits, max_bytes: int
) -> list[TrainingNote]:
    """Every note below `folder`, by name; raises ValueError for a line that is not as it should."""
    return [
        _read_note(path.with_suffix(".tsv"), document, embedder, limits)
        for document in load_corpus(folder, max_bytes).documents
        for path in (folder / document.doc_id,)
    ]


def _read_note(
    questions: Path, document: Document, embedder: BundledEmbedder, limits: ChunkLimits
) -> TrainingNote:
    chunks = chunk_document(document, limits, embedder.count_tokens)
    spans = [_unit_spans(chunk) for chunk in chunks]
    inputs = [passage_of(chunk) for chunk in chunks]
    encodings = embedder.tokenizer.encode([PASSAGE_PREFIX + own.text for own in inputs])
    passages = []
    for passage, encoding in zip(inputs, encodings, strict=True):
        starts = encoding.starts[:MAX_TOKENS] - len(PASSAGE_PREFIX)
        units = [(starts >= first) & (starts < last) for first, last in passage.units]
        own = _own(starts, 0)
        held = np.array(units) if units else own[None]
        passages.append(TrainingPassage(Tokens(encoding.ids[:MAX_TOKENS], own), held))
    asked = [parse_question(line, questions, document) for line in _lines(questions)]
    found = embedder.tokenizer.encode([QUERY_PREFIX + question for question, _ in asked])
    return TrainingNote(
        questions.parent.name,
        tuple(passages),
        tuple(
            TrainingQuestion(
                Tokens(encoding.ids, _own(encoding.starts, len(QUERY_PREFIX))),
                tuple(n for n, c in enumerate(chunks) if _holds((c.start_index, c.end_index), at)),
                tuple(
                    (number, unit)
                    for number, own_spans in enumerate(spans)
                    for unit, span in enumerate(own_spans)
                    if _holds(span, at)
                ),
            )
            for encoding, (_, at) in zip(found, asked, strict=True)
        ),
    )


def parse_question(line: str, path: Path, document: Document) -> tuple[str, Span]:
    """The question, and where in the note its answer stands; raises ValueError."""
    fields = line.split("\t")
    if len(fields) != 3 or fields[0] not in KINDS:
        raise ValueError(f"{path}: {line!r} is not kind, question and quote, with tabs between")
    _, question, quote = fields
    if document.text.count(quote) != 1:
        raise ValueError(f"{path}: {quote!r} does not stand exactly once in {document.doc_id}")
    start = document.text.index(quote)
    return question, (start, start + len(quote))


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line.strip()]


def _own(starts: npt.NDArray[np.int32], prefix: int) -> Mask:
    own = starts >= prefix
    own[[0, -1]] = False
    return own


def _unit_spans(chunk: Chunk) -> list[Span]:
    """Where in the note each unit of the chunk stands."""
    sentences = readable_sentences(chunk)
    spans: list[Span] = []
    for number, (start, end, _) in zip(unit_numbers(sentences), sentences, strict=True):
        first = spans.pop()[0] if number < len(spans) else chunk.start_index + start
        spans.append((first, chunk.start_index + end))
    return spans


def _holds(span: Span, quote: Span) -> bool:
    """At least half of the quote, as `kotae eval` counts."""
    return 2 * (min(span[1], quote[1]) - max(span[0], quote[0])) >= quote[1] - quote[0]


def count_in_passages(notes: Sequence[TrainingNote], vocabulary: int) -> npt.NDArray[np.int64]:
    """In how many passages each token stands."""
    counts = np.zeros(vocabulary, np.int64)
    for note in notes:
        for passage in note.passages:
            counts[np.unique(passage.tokens.ids[passage.tokens.own])] += 1
    return counts
