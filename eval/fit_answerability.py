"""Fits rag/data/answerability.json on the tuning half of the gold questions.

    python -m eval.fit_answerability [--corpus DIR] [--index DIR]

A logistic regression with L2 penalty, classes weighted to be even; the threshold is the quantile of
the answerable questions' probabilities below which MAX_FALSE_REFUSALS of them lie.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eval.gold import load_gold
from rag.assistant import Assistant
from rag.config import load_settings

SIGNALS = ("dense", "bigrams_coverage", "worst_half", "unmet", "unknown_name")
"""Chosen on the tuning half: more signals fitted it better and off-topic questions worse."""
MAX_FALSE_REFUSALS = 0.0125
"""On the tuning half, so that on notes and questions unseen it stays near 0.05."""
PENALTY = 1.0
STEPS = 100

Array = npt.NDArray[np.float64]


def fit_logistic(signals: Array, answerable: Array) -> tuple[float, Array]:
    """(intercept, weights) for raw signals, shape (questions, signals), by Newton's method."""
    mean, spread = signals.mean(axis=0), signals.std(axis=0)
    spread[spread == 0] = 1.0
    inputs = np.hstack([np.ones((len(signals), 1)), (signals - mean) / spread])
    even = np.where(answerable > 0, 0.5 / answerable.mean(), 0.5 / (1 - answerable.mean()))
    penalty = PENALTY * np.eye(inputs.shape[1])
    penalty[0, 0] = 0.0
    weights = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        probability = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (even * (probability - answerable)) + penalty @ weights
        curvature = even * probability * (1 - probability)
        weights -= np.linalg.solve((inputs.T * curvature) @ inputs + penalty, gradient)
    raw = weights[1:] / spread
    return float(weights[0] - raw @ mean), raw


def main() -> None:
    """Searches every question of the tuning half and writes the parameters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--index", type=Path)
    options = parser.parse_args()
    assistant = Assistant.open(load_settings(corpus=options.corpus, index=options.index))
    paths = tuple(sorted((Path(__file__).parent / "gold").glob("*.jsonl")))
    questions = [question for question in load_gold(paths) if question.split == "tune"]
    results = [assistant.search(q.question, history=q.history) for q in questions]
    rows = [[result.answerability_signals[name] for name in SIGNALS] for result in results]
    signals, answerable = np.array(rows), np.array([float(q.answerable) for q in questions])
    intercept, weights = fit_logistic(signals, answerable)
    probability = 1 / (1 + np.exp(-(intercept + signals @ weights)))
    threshold = float(np.quantile(probability[answerable > 0], MAX_FALSE_REFUSALS))
    parameters = {
        "intercept": round(intercept, 4),
        "weights": {n: round(float(w), 4) for n, w in zip(SIGNALS, weights, strict=True)},
        "threshold": round(threshold, 4),
        "provenance": {
            "made_by": "python -m eval.fit_answerability",
            "questions": f"tuning half of {', '.join(path.name for path in paths)}",
            "answerable": int(answerable.sum()),
            "unanswerable": int((1 - answerable).sum()),
            "embedder": assistant.snapshot.manifest.recipe.embedder,
        },
    }
    target = Path(__file__).parent.parent / "rag" / "data" / "answerability.json"
    target.write_text(json.dumps(parameters, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    sys.stderr.write(f"{target}: threshold {threshold:.3f}\n")


if __name__ == "__main__":
    main()
