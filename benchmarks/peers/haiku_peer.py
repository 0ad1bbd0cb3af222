"""A haiku.rag script: its own conversion and chunking by Docling, its hybrid search."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from haiku.rag.client import HaikuRAG
from haiku.rag.config import AppConfig
from protocol import Passage, serve

Result = TypeVar("Result")


class HaikuPeer:
    """See Peer; haiku.rag is asynchronous, so its loop runs in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        Thread(target=self.loop.run_forever, daemon=True).start()

    def wait_for(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of what runs in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def index(self, corpus: Path, folder: Path, model: Path) -> int:
        """See Peer."""
        return self.wait_for(add_notes(corpus, folder, model))

    def open(self, corpus: Path, folder: Path, model: Path) -> None:
        """See Peer."""
        client = HaikuRAG(database(folder), config=configure(model))
        self.client = self.wait_for(client.__aenter__())

    def search(self, question: str, top_k: int) -> list[Passage]:
        """See Peer."""
        found = self.wait_for(self.client.search(question, limit=top_k, include_images=False))
        return [(result.document_uri or "", result.content) for result in found]


async def add_notes(corpus: Path, folder: Path, model: Path) -> int:
    """Every note as a document; returns the number of chunks."""
    folder.mkdir(parents=True, exist_ok=True)
    async with HaikuRAG(database(folder), config=configure(model), create=True) as client:
        for path in sorted(corpus.rglob("*.md")):
            uri = path.relative_to(corpus).as_posix()
            await client.create_document(path.read_text("utf-8"), uri=uri, title=path.stem)
        return int(await client.store.chunks_table.count_rows())


def database(folder: Path) -> Path:
    """The file, or rather folder, that haiku.rag makes."""
    return folder / "notes.lancedb"


def configure(model: Path) -> AppConfig:
    """Its defaults with the same model as everybody's, for vectors and for counting tokens."""
    embedding = {"provider": "sentence-transformers", "name": str(model), "vector_dim": 384}
    return AppConfig.model_validate(
        {
            "embeddings": {"model": embedding},
            "processing": {"chunking_tokenizer": str(model)},
        }
    )


if __name__ == "__main__":
    serve(HaikuPeer())
