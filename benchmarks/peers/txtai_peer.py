"""A txtai script: hybrid search over the paragraphs of the notes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from protocol import Passage, serve
from txtai import Embeddings

NUMBER = "\t"
"""Stands in an id between the note and the number of the paragraph."""


class TxtaiPeer:
    """See Peer."""

    def index(self, corpus: Path, folder: Path, model: Path) -> int:
        """See Peer."""
        embeddings = Embeddings(
            path=str(model),
            instructions={"query": "query: ", "data": "passage: "},
            hybrid=True,
            content=True,
        )
        rows = list(paragraphs(corpus))
        embeddings.index(rows)
        embeddings.save(str(folder))
        return len(rows)

    def open(self, corpus: Path, folder: Path, model: Path) -> None:
        """See Peer."""
        self.embeddings = Embeddings()
        self.embeddings.load(str(folder))
        self.one_at_a_time = Lock()  # its SQLite cursor is shared: searches at once raise

    def search(self, question: str, top_k: int) -> list[Passage]:
        """See Peer."""
        with self.one_at_a_time:
            found = self.embeddings.search(question, top_k)
        return [(row["id"].partition(NUMBER)[0], row["text"]) for row in found]


def paragraphs(corpus: Path) -> Iterator[tuple[str, str, None]]:
    """(id, text, no tags) of what blank lines part."""
    for path in sorted(corpus.rglob("*.md")):
        doc_id = path.relative_to(corpus).as_posix()
        texts = [text.strip() for text in path.read_text("utf-8").split("\n\n")]
        for number, text in enumerate(filter(None, texts)):
            yield f"{doc_id}{NUMBER}{number}", text, None


if __name__ == "__main__":
    serve(TxtaiPeer())
