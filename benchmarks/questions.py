"""The notes that everybody indexes, and the questions that everybody is asked about them."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from eval.datasets import load_squad
from eval.gold import GoldQuestion, anchor_gold, load_gold
from rag.config import Settings
from rag.loading import load_corpus
from rag.types import Document

ROOT = Path(__file__).parents[1]
SEED = 20_261_125
JSQUAD = ROOT.parent / "shared" / "datasets" / "jsquad-valid-v1.3.json"
"""Where it is looked for unless KOTAE_JSQUAD names it."""


@dataclass(frozen=True, slots=True)
class NoteSet:
    """A folder of notes and questions with something to find in them."""

    name: str
    corpus: Path
    questions: tuple[GoldQuestion, ...]
    documents: Mapping[str, Document] = field(default_factory=dict)
    by_document: bool = False
    left_out: int = 0


def gold_notes() -> NoteSet:
    """The notes that ship and the gold questions about them.

    Follow-up questions are left out: only Kotae reads a history, a peer would need a language model
    to. What the notes do not answer has nothing to find.
    """
    corpus = ROOT / "corpus"
    loaded = load_corpus(corpus, Settings.model_fields["max_note_bytes"].default)
    documents = {document.doc_id: document for document in loaded.documents}
    gold = anchor_gold(load_gold(sorted((ROOT / "eval" / "gold").glob("*.jsonl"))), documents)
    with_target = [question for question in gold if question.targets]
    alone = [question for question in with_target if not question.history]
    return NoteSet("gold", corpus, tuple(alone), documents, left_out=len(with_target) - len(alone))


def squad_path() -> Path | None:
    """JSQuAD's validation set, where it is on this machine."""
    path = Path(os.environ.get("KOTAE_JSQUAD") or JSQUAD)
    return path if path.is_file() else None


def squad_notes(path: Path, folder: Path, count: int) -> NoteSet:
    """Each paragraph as a Markdown note with its title; `count` questions, drawn by SEED."""
    dataset = load_squad(path)
    folder.mkdir(parents=True, exist_ok=True)
    for document in dataset.documents:
        note = folder / f"{document.doc_id}.md"
        note.write_text(f"# {document.title}\n\n{document.text}\n", "utf-8")
    drawn = draw(dataset.questions, count)
    return NoteSet("JSQuAD", folder, tuple(map(_about_notes, drawn)), by_document=True)


def draw(questions: Sequence[GoldQuestion], count: int) -> list[GoldQuestion]:
    """The same questions every time, in their order."""
    chosen = random.Random(SEED).sample(range(len(questions)), min(count, len(questions)))
    return [questions[number] for number in sorted(chosen)]


def _about_notes(question: GoldQuestion) -> GoldQuestion:
    """The question with the names that the documents have as notes."""
    targets = tuple(replace(target, doc_id=f"{target.doc_id}.md") for target in question.targets)
    return replace(question, targets=targets)
