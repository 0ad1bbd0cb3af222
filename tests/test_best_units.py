import numpy as np

from rag.best_units import BestUnits
from rag.chunking import passage_of
from rag.config import Settings
from rag.indexing import build_snapshot
from rag.late_interaction import TokenIndex
from rag.loading import make_document
from rag.protocols import TokenVectors
from tests.fakes import BigramEmbedder, silent

AXES = np.eye(4, dtype=np.float32)


def vectors(*axes: int) -> TokenVectors:
    """A token for each axis, a character apart."""
    places = np.arange(len(axes), dtype=np.int32)
    return TokenVectors(AXES[list(axes)], places, 2 * places)


def score(chunk: TokenVectors, question: TokenVectors, *units: int) -> float:
    index = TokenIndex.build([chunk], 4)
    weights = np.ones(len(question.ids), np.float32)
    starts = np.array(units, np.int32)
    return index.best_unit_score(question.vectors, weights, 0, starts)


def test_one_unit_has_to_meet_the_whole_question_helped_by_the_head() -> None:
    chunk = vectors(0, 1, 2, 3)  # tokens at 0, 2, 4, 6
    assert np.isclose(score(chunk, vectors(1, 2), 2), 1)
    assert np.isclose(score(chunk, vectors(1, 2), 2, 4), 0.5)
    assert np.isclose(score(chunk, vectors(0, 2), 2, 4), 1)  # the head meets the first


def test_units_without_tokens_and_chunks_without_units_count_as_a_whole() -> None:
    chunk = vectors(0, 1)
    assert np.isclose(score(chunk, vectors(0, 1), 0, 1, 2, 40), 0.5)
    assert np.isclose(score(chunk, vectors(0, 1), 40), 1)
    assert np.isclose(score(chunk, vectors(0, 1)), 1)
    assert score(vectors(), vectors(0), 0) == 0
    assert score(chunk, vectors(), 0) == 0


def test_the_best_unit_never_meets_more_than_its_chunk() -> None:
    text = "## 節\n\n" + "".join(f"{number}番目の文は{'長' * 60}い。" for number in range(4))
    snapshot = build_snapshot(
        [make_document("a.md", text), make_document("b.md", "短い。")],
        Settings(embedder="bigram"),
        BigramEmbedder(),
        silent,
    )
    rows = list(range(len(snapshot.chunks)))
    assert max(len(passage_of(chunk).units) for chunk in snapshot.chunks) > 1
    _, (question,) = BigramEmbedder().embed_queries(["2番目の文は短い？"])
    whole = snapshot.tokens.scores(question.vectors, snapshot.tokens.weights(question.ids), rows)
    best = BestUnits(snapshot).scores(question, rows)
    assert (best <= whole + 1e-6).all()
    assert (best < whole - 1e-6).any()
