"""Stage 6: the legs' signals → a probability that the notes hold the answer.

A logistic function of a few signals of the best hits. Its parameters stand in
data/answerability.json with where they come from; `python -m eval.fit_answerability` makes them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from rag.snapshot import Snapshot
from rag.types import Hit

LOOKED_AT = 10
"""How many of the best hits the signals are taken from."""


def answerability_signals(
    snapshot: Snapshot,
    words: Mapping[str, float],
    bigrams: Mapping[str, float],
    hits: Sequence[Hit],
) -> dict[str, float]:
    """What tells whether the best of `hits` (best first, at least one) holds the answer.

    Coverage is the share of the question's IDF mass whose terms stand in a chunk; a gap is how far
    the best hit stands out from the others.
    """
    top = hits[:LOOKED_AT]
    rows = [snapshot.row_of[hit.chunk.chunk_id] for hit in top[:3]]
    coverages = {
        "words_coverage": [snapshot.words.coverage(words, row) for row in rows],
        "bigrams_coverage": [snapshot.bigrams.coverage(bigrams, row) for row in rows],
    }
    mass = sum(snapshot.words.idf(term) for term in words) or 1.0
    signals = {name: values[0] for name, values in coverages.items()}
    signals |= {f"best_{name}": max(values) for name, values in coverages.items()}
    for leg in ("dense", "late"):
        values = [hit.signals[leg] for hit in top]
        signals[leg] = values[0]
        signals[f"{leg}_gap"] = max(values) - sum(values) / len(values)
    signals["words_share"] = max(hit.signals["words"] for hit in top) / mass
    signals["agreement"] = sum(
        top[0].signals[leg] >= max(hit.signals[leg] for hit in top)
        for leg in ("dense", "words", "bigrams", "late")
    )
    return signals


def answerable_probability(signals: Mapping[str, float]) -> float:
    """Logistic of the signals, 0–1; no signals (no hits) give 0.0."""
    if not signals:
        return 0.0
    parameters = load_parameters()
    logit = parameters["intercept"] + sum(
        weight * signals[name] for name, weight in parameters["weights"].items()
    )
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))


@lru_cache(maxsize=1)
def load_parameters() -> dict[str, Any]:
    """`{"intercept", "weights", "threshold", "provenance"}` as fitted."""
    path = resources.files("rag").joinpath("data", "answerability.json")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
