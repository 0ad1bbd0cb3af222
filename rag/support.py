"""Stage 8: a statement and the span it may rest on → support, 0–1.

Hard facts first: a number, unit or name that the span does not hold, a quote that no note holds,
or a contradiction keep support below one half whatever else is alike. Beyond that a logistic
function of what the words and the token vectors share; its parameters stand in data/support.json,
made by `python -m eval.support --fit`, which also measures how often it errs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import numpy as np

from rag.facts import missing_facts
from rag.polarity import contradicts
from rag.protocols import Matrix
from rag.text import bigrams, words
from rag.types import Hit

CONFIRMED_SUPPORT: Final = 0.5
"""Below this support a statement is shown as not confirmed by the notes."""
REFUTED_SUPPORT: Final = 0.3
"""The most that a statement gets whose hard facts do not stand in the span."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span of a hit; `met` tells how well each token of the statement is met in it (cosines).

    `place` is what the span stands under: title, headings, owners.
    """

    hit: Hit
    start_index: int
    end_index: int
    text: str
    place: str
    met: Matrix

    def joined(self, other: Evidence) -> Evidence:
        """Both as one piece of evidence; the span stays this one's."""
        return Evidence(
            self.hit,
            self.start_index,
            self.end_index,
            f"{self.text}\n{other.text}",
            f"{self.place}\n{other.place}",
            np.maximum(self.met, other.met),
        )


def shared_signals(statement: str, weights: Matrix, evidence: Evidence) -> dict[str, float]:
    """What statement and span share, 0–1 each; `weights` say how much each token tells."""
    around = f"{evidence.place}\n{evidence.text}"
    total = float(weights.sum())
    met = float(evidence.met @ weights) / total if total else 0.0
    return {
        "words": _share(set(words(statement)), set(words(around))),
        "bigrams": _share(set(bigrams(statement)), set(bigrams(around))),
        "late": met,
    }


def support_probability(signals: dict[str, float]) -> float:
    """Logistic of the signals."""
    parameters = load_support_parameters()
    logit = parameters["intercept"] + sum(
        weight * signals[name] for name, weight in parameters["weights"].items()
    )
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))


def refutations(
    statement: str, evidence: Evidence, other_names: Callable[[str], Iterable[str]]
) -> list[str]:
    """Why the span cannot confirm the statement; nothing when no hard fact speaks against it."""
    found = [
        f"not in the span: {fact}"
        for fact in missing_facts(statement, evidence.text, evidence.place, other_names)
    ]
    if contradicts(statement, evidence.text, evidence.place):
        found.append("the span says the opposite")
    return found


@lru_cache(maxsize=1)
def load_support_parameters() -> dict[str, Any]:
    """`{"intercept", "weights", "provenance"}` as fitted."""
    path = resources.files("rag").joinpath("data", "support.json")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _share(wanted: set[str], held: set[str]) -> float:
    return len(wanted & held) / len(wanted) if wanted else 1.0
