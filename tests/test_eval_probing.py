from __future__ import annotations

import numpy as np
import pytest

from eval.probing import PROBES, embed_probes, mean_cosine, read_vectors
from tests.eval_fakes import CountingEmbedder


def test_probes_are_embedded_by_both_verbs() -> None:
    probes = embed_probes(CountingEmbedder("query: "))
    assert {verb: rows.shape for verb, rows in probes.items()} == {
        "query": (len(PROBES), 8),
        "passage": (len(PROBES), 8),
    }
    assert mean_cosine(probes["query"], probes["passage"]) < 0.995


def test_cosine_is_the_mean_over_the_rows() -> None:
    before = np.array([[1.0, 0.0], [1.0, 0.0]])
    after = np.array([[2.0, 0.0], [3.0, 4.0]])
    assert mean_cosine(before, after) == pytest.approx((1 + 3 / 5) / 2)


def test_another_model_or_an_empty_vector_is_no_match() -> None:
    assert mean_cosine(np.ones((3, 2)), np.ones((3, 4))) == 0
    assert mean_cosine(np.ones((3, 2)), np.zeros((3, 2))) == 0


def test_vectors_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"probes of shape \(1, 2\), not 3 vectors"):
        read_vectors([[1, 2]])
