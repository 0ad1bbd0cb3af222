from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import growth, indexing_memory
from benchmarks.generated import generated_postings, generated_snapshot
from rag import embedding_run
from rag.assistant import silent
from rag.config import Settings
from rag.indexing import build_snapshot, fresh_snapshot
from rag.lexical import BM25Index
from rag.loading import load_corpus
from rag.snapshot import Snapshot, write_snapshot
from tests.fakes import BigramEmbedder, install_fake_embedder, write_notes


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    corpus = write_notes(tmp_path / "corpus")
    return Settings(corpus=corpus, index=tmp_path / "index", embedder="bigram")


@pytest.fixture
def real(settings: Settings) -> Snapshot:
    documents = load_corpus(settings.corpus, settings.max_note_bytes).documents
    return build_snapshot(documents, settings, BigramEmbedder(), silent)


def test_a_generated_snapshot_begins_with_the_real_one_and_keeps_its_measures(
    real: Snapshot, tmp_path: Path
) -> None:
    size = 10 * len(real.chunks) + 1
    grown = generated_snapshot(real, size, tmp_path)
    assert list(grown.chunks[: len(real.chunks)]) == list(real.chunks)
    assert len({chunk.chunk_id for chunk in grown.chunks}) == grown.tokens.size == size
    vectors = grown.dense.units.vectors()
    np.testing.assert_array_equal(vectors[: real.dense.units.size], real.dense.units.vectors())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for name in ("words", "bigrams"):
        leg, own = getattr(grown, name), getattr(real, name)
        assert leg.counts.sum() >= 10 * own.counts.sum()  # each copy as long as the original
        assert set(leg.terms) == set(own.terms)  # of four chunks every term is in more than 2 %


def test_common_terms_grow_with_the_corpus_and_rare_ones_with_its_subjects() -> None:
    texts = [["共通", "名前"], *[["共通"]] * 99]
    grown = generated_postings(BM25Index.build(texts), 900)
    assert grown.document_frequency("共通") == 900
    rare = [term for term in grown.terms if term.startswith("名前")]
    assert len(rare) == 3  # nine copies, three subjects
    assert [grown.document_frequency(term) for term in rare] == [3, 3, 3]


def test_a_size_is_measured_and_drawn(
    settings: Settings, real: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake_embedder(monkeypatch)
    fresh_snapshot(settings, BigramEmbedder(), silent)
    found = []
    for copies in (1, 5):
        index = tmp_path / f"grown-{copies}"
        (tmp_path / str(copies)).mkdir()
        grown = generated_snapshot(real, copies * len(real.chunks), tmp_path / str(copies))
        write_snapshot(index, grown)
        found.append(json.loads(json.dumps(growth.measure(index))))
    assert [row["chunks"] for row in found] == [len(real.chunks), 5 * len(real.chunks)]
    assert min(found[1]["recall"].values()) > 0.9  # an exact index finds all, but for equal scores
    ElementTree.fromstring(growth.figure(found))


def test_a_first_indexing_is_told_stage_by_stage(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = install_fake_embedder(monkeypatch)
    monkeypatch.setattr(embedding_run, "SLICE", 8)
    indexing_memory.main(["--corpus", str(settings.corpus), "--chunks", "40"])
    told = capsys.readouterr().out
    assert "40 chunks, from nothing" in told  # ten copies of four
    assert "41 chunks, one note changed" in told
    stages = [line.split() for line in told.splitlines() if line.endswith("MB")]
    first = [stage for stage, *_ in stages][: len(stages) // 2 + 1]
    assert {"reading", "chunking", "embedding", "terms", "writing"} <= set(first)
    assert all(float(peak) > 1 for *_, peak, _ in stages)
    assert len(fake.passages) < 40  # the vectors of the first slices are given again
