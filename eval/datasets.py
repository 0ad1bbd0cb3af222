"""Public question sets: a SQuAD file or a BEIR folder → documents and questions about them."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.gold import GoldError, GoldQuestion, Target
from rag.types import Document

SEPARATOR = " [SEP] "
"""Stands between title and text in the contexts of JSQuAD."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """An in-memory corpus and questions whose targets are whole documents of it."""

    name: str
    documents: tuple[Document, ...]
    questions: tuple[GoldQuestion, ...]
    notes: tuple[str, ...] = ()

    @property
    def qrels(self) -> dict[str, dict[str, float]]:
        """query_id → doc_id → relevance."""
        return {
            question.query_id: {target.doc_id: target.relevance for target in question.targets}
            for question in self.questions
        }


def load_squad(path: Path) -> Dataset:
    """A SQuAD-format file; each different paragraph is one document, of one chunk or several.

    Questions marked impossible have no paragraph to find and are left out. Raises GoldError.
    """
    articles = _load_json(path).get("data")
    documents: dict[str, Document] = {}
    questions: dict[str, GoldQuestion] = {}
    impossible = 0
    try:
        for article in articles or []:
            for paragraph in article["paragraphs"]:
                title, text = _split_context(paragraph["context"], article.get("title") or "")
                document = documents.setdefault(
                    f"{title}\n{text}", _document(f"p{len(documents):06d}", title, text, path)
                )
                for entry in paragraph["qas"]:
                    if entry.get("is_impossible"):
                        impossible += 1
                        continue
                    _add(questions, _question(entry, document.doc_id, str(path)))
    except (KeyError, TypeError, AttributeError) as error:
        where = f"{path}: after {len(documents)} paragraphs and {len(questions)} questions"
        raise GoldError([f"{where}: not SQuAD's form ({error!r})"]) from error
    notes = (f"{impossible} questions marked impossible left out",) if impossible else ()
    return _dataset(path, documents.values(), questions, notes)


def load_beir(folder: Path) -> Dataset:
    """A BEIR folder: corpus.jsonl, queries.jsonl, qrels/test.tsv; raises GoldError.

    Questions without a judgement above 0 are left out, as BEIR's own scores do.
    """
    corpus = folder / "corpus.jsonl"
    documents: dict[str, Document] = {}
    for where, row in _load_rows(corpus):
        doc_id, text = _field(row, "_id", where), _field(row, "text", where)
        if doc_id in documents:
            raise GoldError([f"{where}: duplicate _id {doc_id!r}"])
        documents[doc_id] = _document(doc_id, str(row.get("title") or ""), text, corpus)
    targets = _load_qrels(folder / "qrels" / "test.tsv", documents)
    questions: dict[str, GoldQuestion] = {}
    unjudged = 0
    for where, row in _load_rows(folder / "queries.jsonl"):
        query_id, text = _field(row, "_id", where), _field(row, "text", where)
        if query_id not in targets:
            unjudged += 1
            continue
        found = tuple(targets[query_id].values())
        _add(questions, GoldQuestion(query_id, text, True, found, where=where))
    if missing := sorted(targets.keys() - questions.keys()):
        raise GoldError([f"{folder}: qrels name query {missing[0]!r}, not in queries.jsonl"])
    notes = (f"{unjudged} questions without a judgement left out",) if unjudged else ()
    return _dataset(folder, documents.values(), questions, notes)


def _dataset(
    path: Path,
    documents: Iterable[Document],
    questions: Mapping[str, GoldQuestion],
    notes: tuple[str, ...],
) -> Dataset:
    if not questions:
        raise GoldError([f"{path}: no question with something to find"])
    return Dataset(path.name, tuple(documents), tuple(questions.values()), notes)


def _split_context(context: str, title: str) -> tuple[str, str]:
    before, separator, after = context.partition(SEPARATOR)
    return (title or before, after) if separator else (title, context)


def _document(doc_id: str, title: str, text: str, path: Path) -> Document:
    digest = hashlib.sha256(f"{title}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()
    return Document(doc_id, title, text, (), (), str(path), digest)


def _question(entry: Mapping[str, Any], doc_id: str, where: str) -> GoldQuestion:
    target = Target(doc_id)
    return GoldQuestion(str(entry["id"]), str(entry["question"]), True, (target,), where=where)


def _add(questions: dict[str, GoldQuestion], question: GoldQuestion) -> None:
    if question.query_id.split() != [question.query_id]:
        raise GoldError([f"{question.where}: id {question.query_id!r} is empty or has spaces"])
    if not question.question.strip():
        raise GoldError([f"{question.where}: question {question.query_id!r} has no text"])
    if question.query_id in questions:
        raise GoldError([f"{question.where}: duplicate question id {question.query_id!r}"])
    questions[question.query_id] = question


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise GoldError([f"{path}: not UTF-8"]) from error
    except OSError as error:
        raise GoldError([f"{path}: cannot be read ({error.strerror or error})"]) from error


def _load_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise GoldError([f"{path}:{error.lineno}: broken JSON: {error.msg}"]) from error
    if not isinstance(content, dict):
        raise GoldError([f'{path}: not SQuAD\'s form {{"data": […]}}'])
    return content


def _load_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise GoldError([f"{where}: broken JSON: {error.msg}"]) from error
        if not isinstance(row, dict):
            raise GoldError([f"{where}: not an object {{…}}"])
        yield where, row


def _field(row: Mapping[str, Any], name: str, where: str) -> str:
    if not isinstance(row.get(name), str):
        raise GoldError([f"{where}: key {name!r} is missing or not text"])
    return str(row[name])


def _load_qrels(path: Path, documents: Mapping[str, Document]) -> dict[str, dict[str, Target]]:
    """query_id → doc_id → target, for judgements above 0."""
    targets: dict[str, dict[str, Target]] = {}
    rows = csv.reader(_read_text(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    for number, row in enumerate(rows, start=1):
        if not row or (number == 1 and row[-1] == "score"):  # the names of the columns
            continue
        where = f"{path}:{number}"
        try:
            query_id, doc_id, score = row
            relevance = float(score)
        except ValueError as error:
            raise GoldError([f"{where}: not query-id, corpus-id, score: {row!r}"]) from error
        if doc_id not in documents:
            raise GoldError([f"{where}: unknown corpus-id {doc_id!r}"])
        if relevance > 0:
            targets.setdefault(query_id, {})[doc_id] = Target(doc_id, relevance=relevance)
    return targets
