"""Stage 6: the legs' signals → a probability that the notes hold the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rag.snapshot import Snapshot
from rag.types import Hit

INTERCEPT = -9.0
WEIGHTS = {"coverage": 4.0, "late": 8.0}


def answerable_probability(
    snapshot: Snapshot,
    words: Mapping[str, float],
    bigrams: Mapping[str, float],
    hits: Sequence[Hit],
) -> float:
    """Logistic of the signals of the best hit; 0.0 without hits."""
    if not hits:
        return 0.0
    row = snapshot.row_of[hits[0].chunk.chunk_id]
    features = {
        "coverage": snapshot.bigrams.coverage(bigrams, row),
        "late": hits[0].signals["late"],
    }
    logit = INTERCEPT + sum(WEIGHTS[name] * value for name, value in features.items())
    return 1 / (1 + math.exp(-logit))
