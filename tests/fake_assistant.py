"""An assistant over a few notes in memory: paragraphs found by shared bigrams, quoted whole."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence

from rag.citations import span_url
from rag.config import Settings
from rag.errors import GeneratorError, NotFoundError, QuestionError
from rag.loading import make_document
from rag.types import (
    Answer,
    Chunk,
    Citation,
    Document,
    Hit,
    SearchResult,
    Section,
    Statement,
)

NOTES: Mapping[str, str] = {
    "aws/sqs.md": """---
title: Amazon SQS
tags: [SAP-C02, DOP-C02]
---
# Amazon SQS

## 可視性タイムアウト

- **可視性タイムアウト**は既定で30秒。受信したメッセージは、その間ほかのコンシューマーから見えない。
- 最大は12時間まで延ばせる。

## デッドレターキュー

最大受信回数を超えたメッセージは`デッドレターキュー`へ移る。

| 種類 | 順序 | スループット |
|---|---|---|
| 標準キュー | 保証しない | ほぼ無制限 |
| FIFOキュー | 保証する | 毎秒300件 |
""",
    "aws/kms.md": """---
title: AWS KMS
tags: [SAP-C02]
---
# AWS KMS

## ローテーション

カスタマー管理キーは、有効にすると**毎年自動で**ローテーションされる。

```bash
aws kms enable-key-rotation --key-id alias/example
```
""",
    "memo.txt": """はじめに
光合成のメモです。
光合成
- 葉緑体で光のエネルギーを使い、水と二酸化炭素からデンプンと酸素をつくる。
- 気孔から二酸化炭素を取り入れる。
""",
    "evil.md": """# 危ないノート

<script>document.title = "抜かれた"</script>
<img src=x onerror="document.title='抜かれた'">
[ここを押す](javascript:document.title='抜かれた')

インジェクションの見本は、この段落にあります。これは本文です。
""",
}
"""Small notes for tests: front matter, bullets, a table, code, loose text, and a hostile one."""

REFUSE_BELOW = 0.2


class FakeAssistant:
    """Same question, same answer; `pause_seconds` lies between the pieces of a stream."""

    snapshot_id = "snapshot-1"
    built_at = "2026-01-01T00:00:00+00:00"

    def __init__(
        self,
        notes: Mapping[str, str] = NOTES,
        models: tuple[str, ...] = ("extractive",),
        pause_seconds: float = 0.0,
    ) -> None:
        self.settings = Settings()
        self.models = models
        self.pause_seconds = pause_seconds
        self.asked: list[tuple[str, tuple[str, ...], tuple[str, ...], str | None]] = []
        self._documents = {
            doc_id: make_document(doc_id, text) for doc_id, text in sorted(notes.items())
        }
        self.tags = tuple(sorted({tag for note in self.documents() for tag in note.tags}))

    def renewed(self, *, reindex: bool) -> FakeAssistant | None:
        return None

    def documents(self) -> tuple[Document, ...]:
        return tuple(self._documents.values())

    def document(self, doc_id: str) -> Document:
        if doc_id not in self._documents:
            raise NotFoundError(f"no note {doc_id!r}")
        return self._documents[doc_id]

    def sections(self, doc_id: str) -> tuple[Section, ...]:
        text = self.document(doc_id).text
        starts = [found.start() for found in re.finditer(r"^#+ |^光合成$", text, re.MULTILINE)]
        found: list[Section] = []
        path: list[str] = []
        for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
            line = text[start:].split("\n", 1)[0]
            depth = max(len(line) - len(line.lstrip("#")), 1)
            path = [*path[: depth - 1], line.lstrip("# ")]
            found.append(Section(f"{doc_id}:{start}", doc_id, tuple(path), start, end))
        return tuple(found)

    def search(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
    ) -> SearchResult:
        if not question.strip():
            raise QuestionError("the question is empty")
        if len(question) > self.settings.max_question_chars:
            raise QuestionError("the question is too long")
        search_question = " ".join([*history[-1:], question])
        scored = [
            (_overlap(search_question, chunk.breadcrumb + chunk.text), chunk)
            for chunk in self._chunks()
            if not tags or set(tags) & set(chunk.tags)
        ]
        best = sorted(scored, key=lambda pair: (-pair[0], pair[1].chunk_id))[:top_k]
        hits = tuple(
            Hit(chunk, rank, score, {"dense": score * 0.9, "words": score * 12, "bigrams": score})
            for rank, (score, chunk) in enumerate(best, 1)
        )
        answerable = hits[0].score if hits else 0.0
        return SearchResult(
            question, search_question, hits, answerable, {"total": 1.5}, self.snapshot_id
        )

    def ask(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
        model: str | None = None,
    ) -> Answer:
        *_, answer = self.stream(question, history=history, top_k=top_k, tags=tags, model=model)
        if not isinstance(answer, Answer):
            raise TypeError(answer)
        return answer

    def stream(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
        model: str | None = None,
    ) -> Iterator[SearchResult | str | Answer]:
        self.asked.append((question, tuple(history), tuple(tags), model))
        found = self.search(question, history=history, top_k=top_k, tags=tags)
        yield found
        if "モデル停止" in question:
            raise GeneratorError("the answer model broke off")
        if "未知の失敗" in question:
            raise ZeroDivisionError
        answer = self._answer(found, model or self.models[0])
        for statement in answer.text.splitlines(keepends=True):
            for start in range(0, len(statement), 8):
                time.sleep(self.pause_seconds)
                yield statement[start : start + 8]
        yield answer

    def _answer(self, found: SearchResult, model: str) -> Answer:
        refused = found.answerable < REFUSE_BELOW
        hits = () if refused else found.hits[:2]
        citations = tuple(_citation(hit) for hit in hits)
        statements = [Statement(_plain(cited.quote), (cited.number,), 0.9) for cited in citations]
        if "未確認" in found.question and statements:
            statements.append(Statement("最大は99時間です。", (1,), 0.1))
        return Answer(
            f"answer-{len(self.asked)}",
            found.question,
            tuple(statements),
            citations,
            found.hits,
            found.answerable,
            refused,
            model,
            {"total": 2.5},
            self.snapshot_id,
        )

    def _chunks(self) -> Iterator[Chunk]:
        for document in self.documents():
            for section in self.sections(document.doc_id):
                heading_end = document.text.index("\n", section.start_index)
                body = document.text[heading_end : section.end_index]
                start = heading_end + len(body) - len(body.lstrip())
                end = heading_end + len(body.rstrip())
                if start < end:
                    yield _chunk(document, section, start, end)


def _chunk(document: Document, section: Section, start: int, end: int) -> Chunk:
    text = document.text
    return Chunk(
        f"{document.doc_id}:{start:06}",
        section.section_id,
        document.doc_id,
        document.title,
        section.headings,
        text[start:end],
        start,
        end,
        text.count("\n", 0, start) + 1,
        text.count("\n", 0, end) + 1,
        document.tags,
    )


def _citation(hit: Hit) -> Citation:
    chunk = hit.chunk
    return Citation(
        hit.rank,
        chunk.doc_id,
        chunk.title,
        chunk.headings,
        chunk.text,
        chunk.start_index,
        chunk.end_index,
        chunk.start_line,
        chunk.end_line,
        span_url(chunk.doc_id, chunk.start_index, chunk.text),
    )


def _plain(quote: str) -> str:
    return re.sub(r"^[-#|`\s]+", "", quote.split("\n", 1)[0]).strip()


def _overlap(question: str, text: str) -> float:
    """Share of the question's bigrams that stand in the text."""
    bigrams = {question[at : at + 2] for at in range(len(question) - 1)}
    return sum(bigram in text for bigram in bigrams) / max(len(bigrams), 1)
