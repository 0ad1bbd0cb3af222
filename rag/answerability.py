"""Stage 6: the legs' signals → a probability that the notes hold the answer.

A logistic function of a few signals of the best hits. Its parameters stand in
data/answerability.json with where they come from; `python -m eval.fit_answerability` makes them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import numpy as np

from rag.protocols import TokenVectors
from rag.snapshot import Snapshot
from rag.types import Hit

MET: Final = 0.7
"""A token of the question whose best cosine in the hit is lower is not met there."""
MOST_UNMET: Final = 30.0
"""Beyond this a longer question is no sign of anything: long ones off the topic would pass."""
_ASPECTS: Final = re.compile(
    r"利点|メリット|長所|強み|良さ|特徴|特長|概要|役割|目的|用途|使い道|仕組み|意味|うれし[いく]|嬉し[いく]"
)
"""What is asked of a thing: its note tells it, mostly without the word. So they need not be met."""


def answerability_signals(
    snapshot: Snapshot,
    question: str,
    bigrams: Mapping[str, float],
    tokens: TokenVectors,
    unknown_names: Sequence[str],
    best: Hit,
) -> dict[str, float]:
    """What tells whether the best hit holds the answer, for a question of these terms.

    `bigrams_coverage` is the share of the question's IDF mass whose bigrams stand in the chunk,
    `worst_half` the mean cosine of the half of its tokens that are met worst there, `unmet` the
    weight of those not met. A question that speaks much and in words of its own (a scenario, a
    paraphrase) meets less of itself in its answer than a short one does in a note that lacks its
    point: `unmet` tells the two apart. `unknown_name` is 1 where it names what the notes never do.
    """
    row = snapshot.row_of[best.chunk.chunk_id]
    tokens = _without_aspects(question, tokens)
    met = snapshot.tokens.similarities(row, tokens.vectors).max(axis=0, initial=0.0)
    worst = np.sort(met)[: max(1, len(met) // 2)]
    unmet = float(snapshot.tokens.weights(tokens.ids)[met < MET].sum())
    return {
        "dense": best.signals["dense"],
        "bigrams_coverage": snapshot.bigrams.coverage(bigrams, row),
        "worst_half": float(worst.mean()) if len(worst) else 0.0,
        "unmet": min(unmet, MOST_UNMET),
        "unknown_name": float(bool(unknown_names)),
    }


def _without_aspects(question: str, tokens: TokenVectors) -> TokenVectors:
    """The tokens of `question` outside of words in _ASPECTS; all of them where none is left."""
    kept = np.ones(len(tokens.starts), dtype=bool)
    for found in _ASPECTS.finditer(question):
        kept &= (tokens.starts < found.start()) | (tokens.starts >= found.end())
    if not kept.any():
        return tokens
    return TokenVectors(tokens.vectors[kept], tokens.ids[kept], tokens.starts[kept])


def answerable_probability(signals: Mapping[str, float]) -> float:
    """Logistic of the signals, 0–1; no signals (no hits) give 0.0."""
    if not signals:
        return 0.0
    parameters = load_parameters()
    logit = parameters["intercept"] + sum(
        weight * signals.get(name, 0.0)  # one that the parameters know and this version does not
        for name, weight in parameters["weights"].items()
    )
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))


@lru_cache(maxsize=1)
def load_parameters() -> dict[str, Any]:
    """`{"intercept", "weights", "threshold", "provenance"}` as fitted."""
    path = resources.files("rag").joinpath("data", "answerability.json")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
