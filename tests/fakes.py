"""Stand-ins that are functions of their input: an embedder, chunks, hits, and notes on disk."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from rag import embedding
from rag.config import Settings
from rag.protocols import EmbedPassages, Matrix, Progress, TokenVectors
from rag.sentence_transformer import embed_units_apart
from rag.types import Chunk, Hit

NOTES: Mapping[str, str] = {
    "aws/sqs.md": """---
title: Amazon SQS
tags: [SAP-C02, メッセージング]
aliases: [キューサービス]
---

## 可視性タイムアウト

受信したメッセージは、既定で30秒のあいだ他のコンシューマーから見えない。最大で12時間まで延ばせる。

## デッドレターキュー

最大受信回数を超えたメッセージは、デッドレターキューへ移る。
""",
    "aws/kms.md": """---
title: AWS KMS
tags: [SAP-C02]
---

## ローテーション

カスタマー管理キーは、有効にすると毎年自動でローテーションされる。
""",
    "生物.md": """## 光合成

葉緑体は光のエネルギーを使い、水と二酸化炭素からデンプンと酸素をつくる。
""",
}
"""Three small notes on three subjects, as files of a corpus."""


class BigramEmbedder:
    """Vectors count hashed character bigrams; a token is a character, its vector one-hot.

    `passages` and `queries` hold every text embedded, in order; `pause_seconds` leaves time for
    another thread or process to come in between.
    """

    name = "bigram"
    max_tokens = 512

    def __init__(
        self, dim: int = 256, fingerprint: str = "bigram-1", pause_seconds: float = 0.0
    ) -> None:
        self.dim = self.token_dim = dim
        self.pause_seconds = pause_seconds
        self.fingerprint = fingerprint
        self.passages: list[str] = []
        self.queries: list[str] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) + 2 for text in texts]

    def embed_queries(self, texts: Sequence[str]) -> tuple[Matrix, list[TokenVectors]]:
        self.queries.extend(texts)
        return self._embed(texts)

    def embed_passages(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> tuple[Matrix, list[TokenVectors]]:
        self.passages.extend(texts)
        time.sleep(self.pause_seconds)
        if progress:
            progress(len(texts), len(texts))
        return self._embed(texts)

    def bulk(self) -> AbstractContextManager[EmbedPassages]:
        return nullcontext(partial(embed_units_apart, self.embed_passages))

    def _embed(self, texts: Sequence[str]) -> tuple[Matrix, list[TokenVectors]]:
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            for bigram in {text[at : at + 2] for at in range(max(len(text) - 1, 1))}:
                vectors[row, self._bucket(bigram)] += 1
            vectors[row] /= np.linalg.norm(vectors[row])
        return vectors, [self._tokens(text) for text in texts]

    def _tokens(self, text: str) -> TokenVectors:
        starts = [at for at, char in enumerate(text) if not char.isspace()]
        vectors = np.zeros((len(starts), self.dim), np.float32)
        for row, start in enumerate(starts):
            vectors[row, self._bucket(text[start])] = 1
        ids = [ord(text[start]) for start in starts]
        return TokenVectors(vectors, np.array(ids, np.int32), np.array(starts, np.int32))

    def _bucket(self, text: str) -> int:
        return zlib.crc32(text.encode("utf-8", "surrogatepass")) % self.dim


def install_fake_embedder(monkeypatch: pytest.MonkeyPatch) -> BigramEmbedder:
    """From here on `--embedder bigram`, or KOTAE_EMBEDDER, names the fake, the default."""
    embedder = BigramEmbedder()
    monkeypatch.setitem(embedding.EMBEDDERS, "bigram", lambda name, progress: embedder)
    monkeypatch.setenv("KOTAE_EMBEDDER", "bigram")
    return embedder


def write_notes(folder: Path, notes: Mapping[str, str] = NOTES) -> Path:
    """A corpus folder with these notes."""
    for name, text in notes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return folder


def make_settings(folder: Path, notes: Mapping[str, str] = NOTES) -> Settings:
    """Settings over `folder`/corpus, where the notes are written, and `folder`/index."""
    corpus = write_notes(folder / "corpus", notes)
    return Settings(corpus=corpus, index=folder / "index", embedder="bigram")


def make_chunk(
    text: str = "本文です。",
    *,
    doc_id: str = "note.md",
    title: str = "題",
    headings: tuple[str, ...] = ("節",),
    start_index: int = 0,
    start_line: int = 1,
    tags: tuple[str, ...] = (),
) -> Chunk:
    """A chunk whose note begins `start_index` before it; its id tells its place."""
    breaks = text.count("\n") + text.count("\r") - text.count("\r\n")
    return Chunk(
        chunk_id=f"{doc_id}:{start_index}",
        section_id=f"{doc_id}#1",
        doc_id=doc_id,
        title=title,
        headings=headings,
        text=text,
        start_index=start_index,
        end_index=start_index + len(text),
        start_line=start_line,
        end_line=start_line + breaks,
        tags=tags,
    )


def make_hit(chunk: Chunk | None = None, rank: int = 1, **signals: float) -> Hit:
    """A hit of `chunk`, or of any, whose score falls with its rank."""
    return Hit(chunk or make_chunk(), rank, 1 / rank, signals)


def silent(stage: str, done: int, total: int) -> None:
    """A report that goes nowhere."""


def numbered(texts: Sequence[str]) -> Iterator[Chunk]:
    """Chunks of one note, one text a line."""
    start = 0
    for line, text in enumerate(texts, start=1):
        yield make_chunk(text, start_index=start, start_line=line)
        start += len(text) + 1
