"""Stage 5, past one machine: the legs of a snapshot searched in Qdrant (qdrant-client lives here).

Every snapshot has a collection of its own, `<name>-<snapshot_id>`: a point for each unit with its
vector, then a point for each chunk with its BM25 weights as sparse vectors, so that the terms stay
ours. An assistant asks the collection of its own snapshot, so an answer never mixes two of them;
the alias `<name>` is moved to the newest, in one step, for whoever else looks in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from rag.config import Settings
from rag.errors import EngineError
from rag.protocols import Matrix
from rag.snapshot import Snapshot

if TYPE_CHECKING:
    from qdrant_client import QdrantClient, models

Answer = TypeVar("Answer")
Rows = npt.NDArray[np.int64]
UNIT = "unit"
LEXICAL_LEGS = ("words", "bigrams")
DEFAULT_NAME = "kotae"
BATCH = 256
PAUSE_SECONDS = 0.2
"""Before the first retry; twice as long before each further one."""


def published(snapshot: Snapshot, settings: Settings) -> None:
    """Puts the snapshot into Qdrant where the settings name one and it is not there yet."""
    if settings.qdrant_url is not None:
        collection = QdrantCollection.of(snapshot, settings)
        if not collection.is_whole():
            collection.write(snapshot)


def searched(snapshot: Snapshot, settings: Settings) -> Snapshot:
    """The snapshot with its legs searched in Qdrant where the settings name one.

    Raises EngineError when Qdrant does not answer or does not hold the whole snapshot.
    """
    if settings.qdrant_url is None:
        return snapshot
    collection = QdrantCollection.of(snapshot, settings)
    if not collection.is_whole():
        raise EngineError(
            f"Qdrant at {settings.qdrant_url} does not hold {collection.name} whole; "
            "run `kotae index` to write it there"
        )
    return collection.searching(snapshot)


class QdrantCollection:
    """One snapshot's collection; finds units by vector and chunks by weighted terms."""

    def __init__(
        self, client: QdrantClient, alias: str, snapshot: Snapshot, settings: Settings
    ) -> None:
        self.alias = alias
        self.name = f"{alias}-{snapshot.manifest.snapshot_id}"
        self._client = client
        self._settings = settings.qdrant
        self._url = settings.qdrant_url
        self._units = snapshot.dense.units.size
        self._points = self._units + len(snapshot.chunks)

    @classmethod
    def of(cls, snapshot: Snapshot, settings: Settings) -> QdrantCollection:
        """The collection where the settings say; nothing is asked yet."""
        client, alias = open_client(settings)
        return cls(client, alias, snapshot, settings)

    def is_whole(self) -> bool:
        """It is there, and holds every point of the snapshot."""
        if not self._ask(lambda: self._client.collection_exists(self.name)):
            return False
        count = self._ask(lambda: self._client.count(self.name, exact=True)).count
        return int(count) == self._points

    def searching(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with this collection searched in place of its own three legs."""
        return replace(
            snapshot,
            dense=snapshot.dense.searched_by(self),
            words=snapshot.words.searched_by(_Terms(self, "words")),
            bigrams=snapshot.bigrams.searched_by(_Terms(self, "bigrams")),
        )

    def search(
        self, query: Matrix, candidate_k: int, tags: Sequence[str] = ()
    ) -> tuple[Matrix, Rows]:
        """Scores and rows of the nearest units, best first, of one query, shape (1, dim)."""
        scores, ids = self._nearest(query[0].tolist(), UNIT, min(candidate_k, self._units), tags)
        return scores[None, :], ids[None, :]

    def best_chunks(
        self, leg: str, terms: Mapping[int, float], candidate_k: int, tags: Sequence[str]
    ) -> tuple[Matrix, Rows]:
        """Scores and rows of the chunks with the greatest sum of weights of these terms."""
        from qdrant_client import models

        if not terms:
            return np.zeros(0, np.float32), np.zeros(0, np.int64)
        vector = models.SparseVector(indices=list(terms), values=list(terms.values()))
        scores, ids = self._nearest(vector, leg, candidate_k, tags)
        return scores, ids - self._units

    def write(self, snapshot: Snapshot) -> None:
        """Uploads the snapshot from nothing, moves the alias to it, drops older collections."""
        from qdrant_client import models

        client, own = self._client, self._settings
        self._ask(lambda: client.delete_collection(self.name))
        self._ask(
            lambda: client.create_collection(
                self.name,
                vectors_config={
                    UNIT: models.VectorParams(
                        size=snapshot.manifest.recipe.dim,
                        distance=models.Distance.DOT,
                        on_disk=own.on_disk,
                    )
                },
                sparse_vectors_config={leg: models.SparseVectorParams() for leg in LEXICAL_LEGS},
                shard_number=own.shards,
                replication_factor=own.replicas,
                write_consistency_factor=own.replicas // 2 + 1,
            )
        )
        self._ask(
            lambda: client.create_payload_index(self.name, "tags", models.PayloadSchemaType.KEYWORD)
        )
        batch: list[models.PointStruct] = []
        for number, point in enumerate(_points(snapshot), start=1):
            batch.append(point)
            if len(batch) == BATCH or number == self._points:
                self._upsert(batch)
                batch = []
        self._move_alias()

    def _upsert(self, batch: Sequence[Any]) -> None:
        self._ask(lambda: self._client.upsert(self.name, list(batch), wait=True))

    def _move_alias(self) -> None:
        from qdrant_client import models

        aliases = self._ask(self._client.get_aliases).aliases
        before = [item.collection_name for item in aliases if item.alias_name == self.alias]
        steps: list[Any] = [
            models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self.alias))
            for _ in before
        ]
        created = models.CreateAlias(collection_name=self.name, alias_name=self.alias)
        steps.append(models.CreateAliasOperation(create_alias=created))
        self._ask(lambda: self._client.update_collection_aliases(steps))
        for item in self._ask(self._client.get_collections).collections:
            old = item.name.startswith(f"{self.alias}-") and item.name not in (self.name, *before)
            if old:
                self._ask(lambda name=item.name: self._client.delete_collection(name))  # type: ignore[misc]

    def _nearest(
        self, query: list[float] | models.SparseVector, using: str, limit: int, tags: Sequence[str]
    ) -> tuple[Matrix, Rows]:
        from qdrant_client import models

        among = models.FieldCondition(key="tags", match=models.MatchAny(any=list(tags)))
        found = self._ask(
            lambda: self._client.query_points(
                self.name,
                query=query,
                using=using,
                query_filter=models.Filter(must=[among]) if tags else None,
                search_params=models.SearchParams(exact=self._settings.exact),
                limit=limit,
                with_payload=False,
            )
        ).points
        scores = np.array([point.score for point in found], np.float32)
        return scores, np.array([point.id for point in found], np.int64)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Qdrant's answer, asked again where the failure may pass; raises EngineError."""
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        for attempt in range(self._settings.max_retries + 1):
            try:
                return question()
            except (ResponseHandlingException, UnexpectedResponse) as error:
                status = getattr(error, "status_code", None)
                passing = status is None or status == 429 or status >= 500
                if not passing or attempt == self._settings.max_retries:
                    raise EngineError(
                        f"Qdrant at {self._url} does not do what it is asked ({_reason(error)}); "
                        "see that it runs and that `qdrant.api_key` is right"
                    ) from error
            time.sleep(PAUSE_SECONDS * 2**attempt)
        raise AssertionError("unreachable")


class _Terms:
    """One lexical leg of a collection, as `BM25Index` asks it."""

    def __init__(self, collection: QdrantCollection, leg: str) -> None:
        self._collection = collection
        self._leg = leg

    def search(
        self, terms: Mapping[int, float], candidate_k: int, tags: Sequence[str] = ()
    ) -> tuple[Matrix, Rows]:
        return self._collection.best_chunks(self._leg, terms, candidate_k, tags)


def open_client(settings: Settings) -> tuple[QdrantClient, str]:
    """A client and the name of the collections; raises EngineError without the extra `qdrant`."""
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise EngineError(
            "index = qdrant://… needs the extra `qdrant`; pip install 'kotae[qdrant]'"
        ) from error
    parts = urlsplit(settings.qdrant_url or "")
    key = settings.qdrant.api_key
    client = QdrantClient(
        url=f"{parts.scheme}://{parts.netloc}",
        api_key=key.get_secret_value() if key else None,
        timeout=settings.qdrant.timeout_seconds,
        check_compatibility=False,  # it would ask at once, and only warn
    )
    return client, parts.path.strip("/") or DEFAULT_NAME


def _points(snapshot: Snapshot) -> Iterator[Any]:
    """Units first, by their row, then the chunks."""
    from qdrant_client import models

    units = snapshot.dense.units
    for row, chunk in enumerate(snapshot.chunks):
        span, payload = snapshot.dense.span(row), {"row": row, "tags": list(chunk.tags)}
        for number, vector in zip(range(span.start, span.stop), units.rows(span), strict=True):
            yield models.PointStruct(id=number, vector={UNIT: vector.tolist()}, payload=payload)
    weighted = zip(snapshot.words.by_chunk(), snapshot.bigrams.by_chunk(), strict=True)
    for row, legs in enumerate(weighted):
        vectors: dict[str, Any] = {
            leg: models.SparseVector(indices=terms.tolist(), values=weights.tolist())
            for leg, (terms, weights) in zip(LEXICAL_LEGS, legs, strict=True)
            if len(terms)
        }
        payload = {"row": row, "tags": list(snapshot.chunks[row].tags)}
        yield models.PointStruct(id=units.size + row, vector=vectors, payload=payload)


def _reason(error: Exception) -> str:
    source = getattr(error, "source", None)
    return " ".join(str(source or error).split())[:200]
