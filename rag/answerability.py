"""Stage 6: the legs' signals → a probability that the notes hold the answer.

A logistic function of a few signals of the best hits. Its parameters stand in
data/answerability.json with where they come from; `python -m eval.fit_answerability` makes them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

from rag.snapshot import Snapshot
from rag.types import Hit


def answerability_signals(
    snapshot: Snapshot, bigrams: Mapping[str, float], best: Hit
) -> dict[str, float]:
    """What tells whether the best hit holds the answer, for a question of these bigrams.

    Coverage is the share of the question's IDF mass whose bigrams stand in the chunk.
    """
    row = snapshot.row_of[best.chunk.chunk_id]
    return {
        "dense": best.signals["dense"],
        "late": best.signals["late"],
        "bigrams_coverage": snapshot.bigrams.coverage(bigrams, row),
    }


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
