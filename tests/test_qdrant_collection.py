"""The same contract for FAISS and for Qdrant: its client against a stand-in, or a real server.

`KOTAE_TEST_QDRANT_URL=qdrant://host:6333` runs them against a server.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.assistant import Assistant, silent
from rag.config import Settings, load_settings
from rag.errors import EngineError
from rag.indexing import build_snapshot, fresh_snapshot
from rag.loading import load_corpus
from rag.qdrant_collection import QdrantCollection, open_client, published, searched
from rag.snapshot import Snapshot
from tests.fakes import NOTES, BigramEmbedder, install_fake_embedder, write_notes
from tests.qdrant_server import QdrantStandIn, qdrant_stand_in

QUESTIONS = ("可視性タイムアウトは最大で何時間か", "キーのローテーション", "葉緑体", "zzz")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, QdrantStandIn | None]]:
    """Address of a server, and the stand-in where it is none of its own."""
    real = os.environ.get("KOTAE_TEST_QDRANT_URL")
    if real:
        yield real, None
        return
    with qdrant_stand_in() as (url, stand_in):
        yield url, stand_in


@pytest.fixture
def settings(server: tuple[str, QdrantStandIn | None], tmp_path: Path) -> Iterator[Settings]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    index = f"{server[0]}/{name}?folder={tmp_path / 'index'}"
    corpus = write_notes(tmp_path / "corpus")
    exact = {"exact": True, "max_retries": 1}
    settings = load_settings(corpus=corpus, index=index, embedder="bigram", qdrant=exact)
    yield settings
    client, _ = open_client(settings)
    for item in client.get_collections().collections:
        if item.name.startswith(name):
            client.delete_collection(item.name)


@pytest.fixture
def local(settings: Settings) -> Snapshot:
    documents = load_corpus(settings.corpus, settings.max_note_bytes).documents
    return build_snapshot(documents, settings, BigramEmbedder(), silent)


@pytest.fixture
def remote(settings: Settings, local: Snapshot) -> Snapshot:
    """The same snapshot, searched in Qdrant."""
    published(local, settings)
    return searched(local, settings)


def query_of(question: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    vector: np.ndarray[tuple[int], np.dtype[np.float32]] = BigramEmbedder().embed_queries(
        [question]
    )[0][0]
    return vector


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("candidate_k", [1, 3, 1000])
def test_both_indexes_find_the_nearest_units(
    question: str, candidate_k: int, settings: Settings, local: Snapshot
) -> None:
    published(local, settings)
    query = query_of(question)[None, :]
    vectors = local.dense.units.vectors()
    exact = np.sort(vectors @ query[0])[::-1][:candidate_k]
    for index in (local.dense.units, QdrantCollection.of(local, settings)):
        scores, rows = index.search(query, candidate_k)
        assert scores.shape == rows.shape == (1, min(candidate_k, len(vectors)))
        np.testing.assert_allclose(scores[0], exact, atol=1e-5)
        np.testing.assert_allclose(vectors[rows[0]] @ query[0], scores[0], atol=1e-5)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_legs_score_alike(question: str, local: Snapshot, remote: Snapshot) -> None:
    query = query_of(question)
    exact = local.dense.scores(query)
    np.testing.assert_allclose(remote.dense.scores(query), exact, atol=1e-5)
    terms = dict.fromkeys(["可視", "視性", "キー", "葉緑体", "無い"], 0.5)
    for name in ("words", "bigrams"):
        exact = getattr(local, name).scores(terms)
        np.testing.assert_allclose(getattr(remote, name).scores(terms), exact, atol=1e-5)


def test_only_notes_with_a_tag_are_looked_at(local: Snapshot, remote: Snapshot) -> None:
    collection = remote.dense._nearest
    assert collection is not None
    for tag in ("SAP-C02", "メッセージング"):
        _, rows = collection.search(query_of("光")[None, :], 1000, [tag])
        chunks = {local.chunks[int(local.dense._chunk_of_unit[row])].chunk_id for row in rows[0]}
        assert chunks == {chunk.chunk_id for chunk in local.chunks if tag in chunk.tags}


def test_an_assistant_ranks_as_over_faiss(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake_embedder(monkeypatch)
    remote = Assistant.open(settings)
    local = Assistant.open(settings.model_copy(update={"qdrant_url": None}))
    assert remote.snapshot_id == local.snapshot_id
    for question in QUESTIONS:
        for tags in ((), ("SAP-C02",)):
            found, expected = (a.search(question, tags=tags).hits for a in (remote, local))
            assert [hit.chunk for hit in found] == [hit.chunk for hit in expected]
            scores = [hit.score for hit in expected]
            assert [hit.score for hit in found] == pytest.approx(scores, abs=1e-5)


def test_each_snapshot_has_its_own_collection_and_the_alias_names_the_newest(
    settings: Settings,
) -> None:
    embedder = BigramEmbedder()
    ids = []
    for number in range(3):
        write_notes(settings.corpus, {**NOTES, "新.md": f"## 追記\n\n{number}番目の事実。\n"})
        ids.append(fresh_snapshot(settings, embedder, silent)[0].manifest.snapshot_id)
    client, alias = open_client(settings)
    aliases = {item.alias_name: item.collection_name for item in client.get_aliases().aliases}
    assert aliases[alias] == f"{alias}-{ids[-1]}"
    held = {item.name for item in client.get_collections().collections}
    ours = {name for name in held if name.startswith(alias)}
    assert ours == {f"{alias}-{snapshot_id}" for snapshot_id in ids[1:]}  # the last two


def test_a_qdrant_that_lost_the_collection_is_told_of_and_written_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake_embedder(monkeypatch)
    assistant = Assistant.open(settings)
    collection = QdrantCollection.of(assistant.snapshot, settings)
    collection._client.delete(collection.name, points_selector=[0])
    assert not collection.is_whole()
    with pytest.raises(EngineError, match="kotae index"):
        searched(assistant.snapshot, settings)
    again = Assistant.open(settings)
    assert collection.is_whole()
    assert again.snapshot_id == assistant.snapshot_id


def test_a_passing_failure_is_tried_again_a_lasting_one_told(
    server: tuple[str, QdrantStandIn | None], settings: Settings, remote: Snapshot
) -> None:
    stand_in = server[1]
    if stand_in is None:
        pytest.skip("a real server does not fail when told to")
    stand_in.failures = 1
    assert remote.dense.scores(query_of("光")).any()
    stand_in.failures = 2  # one retry is configured
    with pytest.raises(EngineError, match="503"):
        remote.dense.scores(query_of("光"))
    nowhere = settings.model_copy(update={"qdrant_url": "http://127.0.0.1:9/notes"})
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9"):
        searched(remote, nowhere)
