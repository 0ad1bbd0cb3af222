"""One round of one system: indexed by one process, opened and asked by another."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import Installed
from benchmarks.judging import score_documents, score_passages
from benchmarks.questions import NoteSet
from benchmarks.sessions import Session
from benchmarks.systems import System

TOP_K = 10
DOCUMENT_TOP_K = 20
"""Passages asked for where documents are ranked: enough for ten documents of a passage or two."""
WARM_UP = 5
CLIENTS = (1, 4, 16)
METRICS = ("hit@1", "hit@5", "ndcg@10")


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement needs: where to work, with which model, how long to wait at most."""

    work: Path
    model: Path
    patience_seconds: float


def measure_round(
    bench: Bench, system: System, installed: Installed, notes: NoteSet, load_questions: int
) -> dict[str, Any]:
    """Times, memory and quality of one round; raises PeerError."""
    folder = bench.work / "round-index"
    index_seconds, passages = index_notes(bench, system, installed, notes, folder)
    with open_session(bench, system, installed) as session:
        patience = bench.patience_seconds
        session.ask(patience, do="open", **_folders(bench, notes, folder))
        texts = [question.question for question in notes.questions]
        session.ask(patience, do="ask", questions=texts[:1], top_k=TOP_K)
        first_answer_seconds = session.since_start()
        session.ask(patience, do="ask", questions=unseen(texts, WARM_UP, "warm"), top_k=TOP_K)
        answer = session.ask(patience, do="ask", questions=texts, top_k=TOP_K)
        rates = {
            str(clients): load_questions
            / session.ask(
                patience,
                do="load",
                questions=unseen(texts, load_questions, str(clients)),
                top_k=TOP_K,
                clients=clients,
            )["seconds"]
            for clients in CLIENTS
        }
        resident_bytes = session.ask(patience, do="memory")["resident_bytes"]
    p50, p95, p99 = np.percentile(answer["milliseconds"], [50, 95, 99])
    return {
        "index_seconds": index_seconds,
        "passages": passages,
        "first_answer_seconds": first_answer_seconds,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "questions_per_second": rates,
        "resident_bytes": resident_bytes,
        "milliseconds": [round(value, 3) for value in answer["milliseconds"]],
        **judge(notes, answer["found"]),
    }


def measure_quality(
    bench: Bench, system: System, installed: Installed, notes: NoteSet
) -> dict[str, Any]:
    """How well it finds, without a clock; raises PeerError."""
    folder = bench.work / "quality-index"
    _, passages = index_notes(bench, system, installed, notes, folder)
    top_k = DOCUMENT_TOP_K if notes.by_document else TOP_K
    with open_session(bench, system, installed) as session:
        session.ask(bench.patience_seconds, do="open", **_folders(bench, notes, folder))
        texts = [question.question for question in notes.questions]
        answer = session.ask(bench.patience_seconds, do="ask", questions=texts, top_k=top_k)
    return {"passages": passages, **judge(notes, answer["found"])}


def index_notes(
    bench: Bench, system: System, installed: Installed, notes: NoteSet, folder: Path
) -> tuple[float, int]:
    """Seconds from the start of a new process to the finished index, and passages in it."""
    shutil.rmtree(folder, ignore_errors=True)
    with open_session(bench, system, installed) as session:
        wish = _folders(bench, notes, folder)
        passages = session.ask(bench.patience_seconds, do="index", **wish)["passages"]
        return session.since_start(), passages


def open_session(bench: Bench, system: System, installed: Installed) -> Session:
    """A new process of that system."""
    return Session(installed.python, system.script, system.options, bench.work)


def judge(notes: NoteSet, found: Sequence[Sequence[tuple[str, str]]]) -> dict[str, Any]:
    """Each question's METRICS, and the lengths of the first five passages."""
    scores = {}
    for question, passages in zip(notes.questions, found, strict=True):
        all_scores = (
            score_documents(question, passages)
            if notes.by_document
            else score_passages(question, passages, notes.documents)
        )
        scores[question.query_id] = [round(all_scores[metric], 6) for metric in METRICS]
    lengths = [len(text) for passages in found for _, text in passages[:5]]
    return {"scores": scores, "passage_chars": float(np.mean(lengths)) if lengths else 0.0}


def unseen(questions: Sequence[str], count: int, mark: str) -> list[str]:
    """`count` questions that no system has answered yet, so that nobody's cache has them."""
    return [f"{questions[n % len(questions)]} ({mark}-{n})" for n in range(count)]


def _folders(bench: Bench, notes: NoteSet, folder: Path) -> dict[str, str]:
    return {"corpus": str(notes.corpus), "folder": str(folder), "model": str(bench.model)}
