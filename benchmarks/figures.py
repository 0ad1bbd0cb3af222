"""Results → the figures that the page and the picture show, each with its spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measuring import CLIENTS, METRICS
from benchmarks.results import Results
from benchmarks.systems import KOTAE, SYSTEMS
from eval.intervals import Estimate, bootstrap_means, wilson

MEGABYTE = 1_000_000
RATE = "questions_per_second"
TIMINGS = ("index_seconds", "first_answer_seconds", "p50_ms", "p95_ms", "p99_ms")
LESS_IS_BETTER = ("index_seconds", "first_answer_seconds", "p50_ms", "p95_ms", "resident_bytes")
"""Compared round by round as peer / Kotae; throughput the other way round."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several rounds, the least and the most of them."""

    middle: float
    least: float
    most: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """ValueError when there is no value."""
        return cls(median(values), min(values), max(values), len(values))


def measured_names(results: Results) -> list[str]:
    """The systems with any figure, in the order of the report."""
    return [
        system.name
        for system in SYSTEMS
        if results.quality.get(system.name) or rounds_of(results, system.name)
    ]


def rounds_of(results: Results, name: str) -> list[dict[str, Any]]:
    """The rounds in which the system was timed."""
    return [measured[name] for measured in results.rounds if name in measured]


def quality_of(results: Results, name: str, note_set: str) -> dict[str, Estimate] | None:
    """METRICS with their 95% intervals, None where the system was not asked these questions."""
    found = results.quality.get(name, {}).get(note_set)
    if found is None:
        return None
    columns = np.array(list(found["scores"].values()), dtype=np.float64)
    estimates = dict(zip(METRICS, bootstrap_means(columns), strict=True))
    count = len(columns)
    shares = [metric for metric in METRICS if metric.startswith("hit@")]
    return estimates | {metric: wilson(estimates[metric].value * count, count) for metric in shares}


def timings_of(results: Results, name: str) -> dict[str, Spread]:
    """Every timing, rate (`rate@clients`) and the memory; nothing where it was not timed."""
    rounds = rounds_of(results, name)
    if not rounds:
        return {}
    spreads = {what: Spread.of([found[what] for found in rounds]) for what in TIMINGS}
    spreads["resident_bytes"] = Spread.of([found["resident_bytes"] for found in rounds])
    for clients in CLIENTS:
        rates = [found[RATE][str(clients)] for found in rounds]
        spreads[f"rate@{clients}"] = Spread.of(rates)
    return spreads


def ratios_to_ours(results: Results, name: str) -> dict[str, Spread]:
    """By how much Kotae is faster or smaller, in the rounds that both took part in."""
    pairs = [
        (measured[name], measured[KOTAE])
        for measured in results.rounds
        if name in measured and KOTAE in measured
    ]
    if not pairs:
        return {}
    ratios = {
        what: Spread.of([peer[what] / ours[what] for peer, ours in pairs])
        for what in LESS_IS_BETTER
    }
    for clients in map(str, CLIENTS):
        ratios[f"rate@{clients}"] = Spread.of(
            [ours[RATE][clients] / peer[RATE][clients] for peer, ours in pairs]
        )
    return ratios
