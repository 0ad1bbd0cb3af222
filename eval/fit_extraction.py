"""Fits the first six of rag.extraction.WEIGHTS; prints them, to be rounded into that file.

    python -m eval.fit_extraction [--corpus DIR] [--index DIR] [--gold FILE ...] [--split SPLIT]

A conditional logit (McFadden, 1974): among the units of the hits for an answerable question those
that hold its answer are to be likely. With an L2 penalty on standardised evidence.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eval.answers import holds_keys
from eval.gold import GoldQuestion, Target, anchor_gold, load_gold
from rag.assistant import Assistant
from rag.config import load_settings
from rag.extraction import WEIGHTS, Extract, statement_text
from rag.units import Unit

FITTED = ("late", "dense", "terms", "words", "hit", "rank")
PENALTY = 1.0
STEPS = 50

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Choice:
    """Units to choose from: evidence (units, FITTED), and which of them hold the answer."""

    evidence: Array
    right: npt.NDArray[np.bool_]


def choice_of(extracts: Sequence[Extract], question: GoldQuestion) -> Choice | None:
    """None where nothing can be learnt: no unit is right, or every one."""
    evidence = [[extract.evidence[name] for name in FITTED] for extract in extracts]
    right = np.array([holds_answer(extract.unit, question) for extract in extracts], bool)
    return Choice(np.array(evidence), right) if right.any() and not right.all() else None


def holds_answer(unit: Unit, question: GoldQuestion) -> bool:
    """It overlaps a gold quote by half of either, or holds all answer keys."""
    if any(_overlaps(unit, target) for target in question.targets):
        return True
    keys = question.answer_keys
    return bool(keys) and holds_keys([statement_text(unit)], keys)


def _overlaps(unit: Unit, target: Target) -> bool:
    if unit.hit.chunk.doc_id != target.doc_id:
        return False
    spans = ((max(unit.start_index, a), min(unit.whole_end, b), b - a) for a, b in target.spans)
    size = unit.whole_end - unit.start_index
    return any(2 * (end - start) >= min(size, quote) for start, end, quote in spans)


def fit_choices(choices: Sequence[Choice]) -> Array:
    """The weights, shape (FITTED,), by Newton's method on the likelihood of the right ones."""
    every = np.concatenate([choice.evidence for choice in choices])
    mean, spread = every.mean(axis=0), every.std(axis=0)
    spread[spread == 0] = 1.0
    standard = [(choice.evidence - mean) / spread for choice in choices]
    weights = np.zeros(len(FITTED))
    for _ in range(STEPS):
        gradient = -PENALTY * weights
        curvature = PENALTY * np.eye(len(FITTED))
        for inputs, choice in zip(standard, choices, strict=True):
            logits = inputs @ weights
            likely = np.exp(logits - logits.max())
            among_right = likely * choice.right
            likely, among_right = likely / likely.sum(), among_right / among_right.sum()
            gradient += (among_right - likely) @ inputs
            centred = inputs - likely @ inputs
            curvature += (centred.T * likely) @ centred
        weights += np.linalg.solve(curvature, gradient)
    fitted: Array = weights / spread
    return fitted


def main() -> None:
    """Asks every answerable question and prints the weights at the scale of those in use."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--index", type=Path)
    here = Path(__file__).parent / "gold"
    parser.add_argument("--gold", type=Path, nargs="+", default=sorted(here.glob("*.jsonl")))
    parser.add_argument("--split", choices=("tune", "held"))
    options = parser.parse_args()
    assistant = Assistant.open(load_settings(corpus=options.corpus, index=options.index))
    questions = [
        question
        for question in anchor_gold(load_gold(options.gold), assistant.snapshot.documents)
        if question.answerable and options.split in (None, question.split)
    ]
    found = [
        choice_of(assistant.candidates(assistant.search(q.question, history=q.history)), q)
        for q in questions
    ]
    choices = [choice for choice in found if choice is not None]
    fitted = fit_choices(choices)
    used = np.array([WEIGHTS[name] for name in FITTED])
    every = np.concatenate([choice.evidence for choice in choices])
    scale = float((every @ used).std() / (every @ fitted).std())
    shown = ", ".join(f"{n} {w * scale:.3f}" for n, w in zip(FITTED, fitted, strict=True))
    sys.stdout.write(f"{len(choices)} of {len(questions)} questions: {shown}\n")


if __name__ == "__main__":
    main()
