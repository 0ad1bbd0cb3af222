"""Kotae itself, by its Python face, with its default settings."""

from __future__ import annotations

from pathlib import Path

from protocol import Passage, serve

from rag import Assistant, Settings


class KotaePeer:
    """See Peer; the bundled model is the same one, opened by its name."""

    def index(self, corpus: Path, folder: Path, model: Path) -> int:
        """See Peer."""
        self.open(corpus, folder, model)
        return len(self.assistant.chunks)

    def open(self, corpus: Path, folder: Path, model: Path) -> None:
        """See Peer."""
        self.assistant = Assistant.open(Settings(corpus=corpus, index=folder))

    def search(self, question: str, top_k: int) -> list[Passage]:
        """See Peer."""
        found = self.assistant.search(question, top_k=top_k)
        return [(hit.chunk.doc_id, hit.chunk.text) for hit in found.hits]


if __name__ == "__main__":
    serve(KotaePeer())
