from __future__ import annotations

from math import log2

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import RR, R, Success, nDCG

from eval.metrics import CUTOFFS, RANK_METRICS, ndcg_at, recall_at, score_ranking

NOTHING: frozenset[int] = frozenset()


def test_values_follow_from_the_ranks() -> None:
    found = [NOTHING, {0}, NOTHING, {2}]  # targets 0 and 2 of three, at ranks 2 and 4
    assert score_ranking(found, [1, 1, 1]) == {
        "hit@1": 0,
        "hit@3": 1,
        "hit@5": 1,
        "hit@10": 1,
        "recall@1": 0,
        "recall@3": 1 / 3,
        "recall@5": 2 / 3,
        "recall@10": 2 / 3,
        "mrr@10": 1 / 2,
        "ndcg@10": pytest.approx(
            (1 / log2(3) + 1 / log2(5)) / (1 / log2(2) + 1 / log2(3) + 1 / log2(4))
        ),
    }


def test_nothing_found_scores_zero_in_every_metric() -> None:
    assert score_ranking([], [1.0]) == dict.fromkeys(RANK_METRICS, 0.0)
    assert score_ranking([NOTHING] * 10, [1.0]) == dict.fromkeys(RANK_METRICS, 0.0)


def test_a_hit_beyond_the_tenth_rank_counts_nowhere() -> None:
    assert score_ranking([*[NOTHING] * 10, {0}], [1.0]) == dict.fromkeys(RANK_METRICS, 0.0)


def test_a_second_chunk_with_the_same_quote_gains_nothing() -> None:
    assert ndcg_at([{0}, {0}], [1, 1], 10) == pytest.approx(1 / (1 + 1 / log2(3)))
    assert recall_at([{0}, {0}], 2, 10) == 1 / 2


def test_one_chunk_with_both_quotes_is_a_perfect_ranking() -> None:
    assert ndcg_at([{0, 1}], [1, 1], 10) == 1
    assert ndcg_at([NOTHING, {0, 1}], [1, 1], 10) == pytest.approx(1 / log2(3))
    assert recall_at([{0, 1}], 2, 1) == 1


def test_graded_relevance_prefers_the_better_document_first() -> None:
    ideal = 3 / log2(2) + 1 / log2(3)
    assert ndcg_at([{1}, {0}], [3, 1], 10) == pytest.approx((1 / log2(2) + 3 / log2(3)) / ideal)


@pytest.mark.parametrize("relevances", [[], [0.0], [1.0, -1.0]])
def test_a_question_without_a_target_is_a_programmer_mistake(relevances: list[float]) -> None:
    with pytest.raises(ValueError, match="positive relevance"):
        score_ranking([], relevances)


@given(
    ranking=st.lists(st.integers(0, 40), unique=True, max_size=15),
    judged=st.dictionaries(st.integers(0, 40), st.integers(1, 3), min_size=1, max_size=12),
)
def test_values_equal_those_of_ir_measures(ranking: list[int], judged: dict[int, int]) -> None:
    targets = list(judged)
    found = [frozenset({targets.index(doc)}) if doc in judged else NOTHING for doc in ranking]
    own = score_ranking(found, [float(judged[doc]) for doc in targets])
    measures = {
        "mrr@10": RR @ 10,
        "ndcg@10": nDCG @ 10,
        **{f"recall@{k}": R @ k for k in CUTOFFS},
        **{f"hit@{k}": Success @ k for k in CUTOFFS},
    }
    qrels = [ir_measures.Qrel("q", f"d{doc}", grade) for doc, grade in judged.items()]
    run = [
        ir_measures.ScoredDoc("q", f"d{doc}", 1 / rank) for rank, doc in enumerate(ranking, start=1)
    ]
    theirs = ir_measures.calc_aggregate(measures.values(), qrels, run)
    assert own == pytest.approx({name: theirs[measure] for name, measure in measures.items()})


@given(
    found=st.lists(st.frozensets(st.integers(0, 4), max_size=3), max_size=12),
    relevances=st.lists(st.sampled_from([1.0, 2.0]), min_size=5, max_size=5),
)
def test_every_value_is_a_share(found: list[frozenset[int]], relevances: list[float]) -> None:
    assert all(0 <= value <= 1 + 1e-12 for value in score_ranking(found, relevances).values())
