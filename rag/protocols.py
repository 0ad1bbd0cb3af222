"""Who does the work: the seams where another embedder, index, reranker or answer model goes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rag.types import Hit

Matrix = npt.NDArray[np.float32]
Offsets = npt.NDArray[np.int32]
OldRows = npt.NDArray[np.int64]
"""For each row of a new index the row of an old one whose text is the same, or NEW; no old row
stands there twice."""
NEW = -1
Progress = Callable[[int, int], None]
"""Called with (done, total) while something long goes on."""


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """One text's tokens: unit rows (tokens, token_dim), ids in the vocabulary, where each starts.

    Prefix and special tokens are left out; `starts` counts code points of the text.
    """

    vectors: Matrix
    ids: Offsets
    starts: Offsets


@dataclass(frozen=True, slots=True)
class PassageInput:
    """A text with its units: the spans of it that get a vector each; without any, the whole is one.

    The first `head` characters, a breadcrumb, tell what each unit is about.
    """

    text: str
    head: int = 0
    units: tuple[tuple[int, int], ...] = ()

    def unit_texts(self) -> list[str]:
        """Each unit behind the head, as a text that can be understood alone."""
        head = self.text[: self.head]
        return [head + self.text[start:end] for start, end in self.units] or [self.text]


@dataclass(frozen=True, slots=True)
class EmbeddedPassage:
    """Unit rows, one for each of a passage's units and at least one, and its token vectors."""

    vectors: Matrix
    tokens: TokenVectors


EmbedPassages = Callable[[Sequence[PassageInput], Progress | None], list[EmbeddedPassage]]
"""What `Embedder.bulk` opens; the result is in order."""


class Embedder(Protocol):
    """Turns texts into unit vectors; questions and passages are embedded by different verbs."""

    @property
    def name(self) -> str:
        """What a user wrote to get this model; stands in the manifest."""
        ...

    @property
    def dim(self) -> int: ...

    @property
    def token_dim(self) -> int:
        """Of token vectors, which may be smaller than `dim`."""
        ...

    @property
    def max_tokens(self) -> int:
        """The longest input, in the model's own tokens, special tokens and prefix included."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same text would get another vector (weights, prompts, pooling)."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens and prefix included."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> tuple[Matrix, list[TokenVectors]]:
        """Unit rows (len(texts), dim), float32, in order, and each text's token vectors.

        No texts give (0, dim) and []. Text past `max_tokens` is cut off.
        """
        ...

    def embed_passages(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> tuple[Matrix, list[TokenVectors]]:
        """As `embed_queries`, for passages; `progress` is called with the tokens done and all."""
        ...

    def bulk(self) -> AbstractContextManager[EmbedPassages]:
        """Embeds passages and their units in many calls: what is slow to start starts once."""
        ...


class VectorIndex(Protocol):
    """Nearest neighbours among unit vectors."""

    def search(
        self, query: Matrix, candidate_k: int, tags: Sequence[str] = ()
    ) -> tuple[Matrix, npt.NDArray[np.int64]]:
        """Scores and rows of the best `candidate_k`, best first, shape (queries, ≤ candidate_k).

        An index that knows the tags looks only where a note has any of them.
        """
        ...


class TermIndex(Protocol):
    """Chunks by the weights of their terms, each term by its number."""

    def search(
        self, terms: Mapping[int, float], candidate_k: int, tags: Sequence[str] = ()
    ) -> tuple[Matrix, npt.NDArray[np.int64]]:
        """Scores and rows of the best chunks, shape (≤ candidate_k,); `tags` as above."""
        ...


class Reranker(Protocol):
    """Puts the best hits in a better order."""

    name: str

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """One score a passage, higher is better."""
        ...


class Generator(Protocol):
    """Writes an answer whose sentences carry `[n]`, n = rank of the hit each rests on."""

    name: str

    def generate(self, question: str, hits: Sequence[Hit], history: Sequence[str]) -> Iterator[str]:
        """The answer in pieces as they come."""
        ...
