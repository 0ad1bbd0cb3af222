"""`kotae doctor`: every part looked at, and for what is wrong the way to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rag.assistant import Assistant
from rag.config import Settings
from rag.errors import RagError
from rag.loading import load_corpus

PROBES = 20
PROBE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is well, and what to do if not."""

    name: str
    ok: bool
    message: str
    remediation: str = ""


def diagnose(settings: Settings) -> list[Finding]:
    """All checks in order; later ones are left out when they need an earlier one that failed."""
    checks = [_check("notes", lambda: _notes(settings))]
    if not checks[-1].ok:
        return checks
    opened: list[Assistant] = []

    def open_index() -> str:
        opened.append(Assistant.open(settings))
        counts = opened[0].snapshot.manifest.counts
        return f"{counts['documents']} notes, {counts['chunks']} chunks, {opened[0].snapshot_id}"

    checks.append(_check("index", open_index))
    if opened:
        checks.extend(check_legs(opened[0]))
    return checks


def check_legs(assistant: Assistant) -> Iterator[Finding]:
    """Each leg alone must find notes by their own words; a dead leg hides behind fusion."""
    chunks = assistant.chunks
    step = max(1, len(chunks) // PROBES)
    probes = chunks[::step][:PROBES]
    longest = min(PROBE_CHARS, assistant.settings.max_question_chars)
    for leg in ("dense", "words", "bigrams", "late"):
        found = 0
        for chunk in probes:
            question = f"{chunk.breadcrumb} {chunk.text}"[:longest]
            hits = assistant.search(question, top_k=5, legs={leg}).hits
            alive = any(hit.signals[leg] > 0 for hit in hits)
            found += alive and any(hit.chunk.doc_id == chunk.doc_id for hit in hits)
        yield Finding(
            name=f"leg {leg}",
            ok=bool(probes) and found >= 0.8 * len(probes),
            message=f"{found} of {len(probes)} chunks lead back to their own note",
            remediation="run `kotae index --rebuild`; if it stays so, reinstall kotae",
        )


def _notes(settings: Settings) -> str:
    corpus = load_corpus(settings.corpus, settings.max_note_bytes)
    skipped = "".join(f"; skipped {problem}" for problem in corpus.problems)
    return f"{len(corpus.documents)} notes in {settings.corpus}{skipped}"


def _check(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except RagError as error:
        return Finding(name, False, str(error), "see the message: it names the way out")
