"""A run against the committed baseline: significant losses and broken floors fail it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from eval.baselines import ANSWER_METRICS, KEPT_RANK_METRICS, Baseline, kept_scores
from eval.probing import COSINE_FLOOR, Probes, mean_cosine
from eval.runs import WHOLE, Evaluation
from eval.significance import TINY, Comparison, compare, smallest_visible_loss
from eval.summary import Summary
from rag.errors import ConfigError

Status = Literal["pass", "warn", "fail"]
Reason = Literal["interval", "sign_test", "point_loss", "floor", "embedding", "missing"]

GATED_WHOLE = ("hit@1", "hit@5", "ndcg@10", *ANSWER_METRICS)
GATED_LEG = ("hit@5", "ndcg@10")
_RANK_METRICS = frozenset(KEPT_RANK_METRICS)
_SHARES = frozenset({"hit@1", "hit@5", *ANSWER_METRICS})
"""Metrics that are 0 or 1 for a question, so that one which changed has flipped."""
_WORDS: Mapping[Reason, str] = {
    "interval": "the 95% interval lies below 0",
    "sign_test": "significantly more questions lost than won",
    "point_loss": "lower, within noise",
    "floor": "below its floor",
    "embedding": "texts are embedded otherwise than in the baseline (model, prefix, pooling)",
    "missing": "not measured",
}


@dataclass(frozen=True, slots=True)
class Flip:
    """A question that is now right where it was wrong, or wrong where it was right."""

    run: str
    metric: str
    query_id: str
    lost: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of one run, compared with the baseline or (`floor` given) with its floor."""

    run: str
    metric: str
    reasons: tuple[Reason, ...]
    comparison: Comparison | None = None
    floor: float | None = None
    value: float | None = None
    flips: tuple[Flip, ...] = ()

    @property
    def status(self) -> Status:
        """Pass without a reason not to; a loss within noise only warns."""
        if not self.reasons:
            return "pass"
        return "warn" if set(self.reasons) == {"point_loss"} else "fail"

    @property
    def visible_loss(self) -> int:
        """The fewest lost questions that would fail this comparison; 0 for a floor."""
        return smallest_visible_loss(self.comparison.difference.n) if self.comparison else 0

    @property
    def name(self) -> str:
        """`whole hit@5` or `dense hit@5 floor`."""
        return f"{self.run} {self.metric}" + (" floor" if self.floor is not None else "")

    @property
    def message(self) -> str:
        """The figures and why they pass or not, in one line."""
        why = "; ".join(_WORDS[reason] for reason in self.reasons) or "no loss"
        if self.floor is not None:
            measured = "–" if self.value is None else f"{self.value:.3f}"
            return f"{measured}, floor {self.floor:.3f}: {why if self.reasons else 'held'}"
        if self.comparison is None:
            return why
        change = self.comparison
        visible = (
            f"smallest loss it can see: {self.visible_loss} of {change.difference.n} "
            f"({100 * self.visible_loss / change.difference.n:.1f} points)"
        )
        chance = f"p = {change.p_loss:.3f}" if change.p_loss >= 0.0005 else "p < 0.001"
        if not change.wins and not change.losses:
            same = f"{change.after:.3f}, no change on {change.difference.n} questions"
            return f"{same}; {visible}"
        return (
            f"{change.before:.3f} → {change.after:.3f} on {change.difference.n} questions "
            f"({change.difference.value:+.3f}, 95% {change.difference.low:+.3f} to "
            f"{change.difference.high:+.3f}; {change.wins} won, {change.losses} lost, "
            f"{chance}): {why}; {visible}"
        )


@dataclass(frozen=True, slots=True)
class GateResult:
    """Every check, and which questions could not be compared."""

    checks: tuple[Check, ...]
    compared: int
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    new_runs: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """No check failed."""
        return all(check.status != "fail" for check in self.checks)

    @property
    def flips(self) -> list[Flip]:
        """All flips, of every run and metric."""
        return [flip for check in self.checks for flip in check.flips]

    @property
    def notes(self) -> list[str]:
        """What was left out of the comparison, in words."""
        parts = {
            "new": self.added,
            "in the baseline but not asked now": self.removed,
            "changed since the baseline": self.changed,
        }
        notes = [
            f"questions {what}: {len(ids)} ({', '.join(ids[:5])}{' …' if len(ids) > 5 else ''})"
            for what, ids in parts.items()
            if ids
        ]
        if notes:
            notes.append(f"compared on the {self.compared} questions that both have unchanged")
        return notes + [f"run {run!r} is not in the baseline" for run in self.new_runs]


def check_gate(evaluation: Evaluation, summary: Summary, baseline: Baseline) -> GateResult:
    """Deterministic; ConfigError when the baseline is of another set or shares no question."""
    if baseline.kind != evaluation.kind:
        raise ConfigError(
            f"the baseline was measured on a {baseline.kind!r} set, this run on "
            f"{evaluation.kind!r}; give the baseline of the same set"
        )
    now = {question.query_id: question.fingerprint for question in evaluation.questions}
    before = baseline.fingerprints
    common = [query_id for query_id in now if now[query_id] == before.get(query_id)]
    if not common:
        raise ConfigError(
            f"none of the {len(now)} questions stands unchanged in the baseline of {len(before)}; "
            "write a new one with --write-baseline"
        )
    scores = kept_scores(evaluation)
    checks = [
        check
        for run in (*scores, *(run for run in baseline.scores if run not in scores))
        for check in _compare_run(run, baseline.scores.get(run, {}), scores.get(run), common)
    ]
    return GateResult(
        checks=(
            *checks,
            *_check_probes(baseline.probes, evaluation.probes),
            *_check_floors(summary, baseline.floors),
        ),
        compared=len(common),
        added=tuple(sorted(now.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - now.keys())),
        changed=tuple(sorted(now.keys() & before.keys() - set(common))),
        new_runs=tuple(run for run in scores if run not in baseline.scores),
    )


def _compare_run(
    run: str,
    before: Mapping[str, Mapping[str, float]],
    after: Mapping[str, Mapping[str, float]] | None,
    common: list[str],
) -> list[Check]:
    checks: list[Check] = []
    for metric in GATED_WHOLE if run == WHOLE else GATED_LEG:
        asked = [query_id for query_id in common if metric in before.get(query_id, {})]
        if not asked:
            continue
        if after is None:
            checks.append(Check(run, metric, ("missing",)))
            continue
        if metric not in _RANK_METRICS:
            asked = [query_id for query_id in asked if metric in after.get(query_id, {})]
        if not asked:
            checks.append(Check(run, metric, ("missing",)))
            continue
        pairs = {
            query_id: (before[query_id][metric], after.get(query_id, {}).get(metric, 0.0))
            for query_id in asked
        }
        checks.append(_compare_metric(run, metric, pairs))
    return checks


def _compare_metric(run: str, metric: str, pairs: Mapping[str, tuple[float, float]]) -> Check:
    comparison = compare(*zip(*pairs.values(), strict=True))
    flips = [
        Flip(run, metric, query_id, lost=after < before)
        for query_id, (before, after) in pairs.items()
        if metric in _SHARES and before != after
    ]
    reasons: list[Reason] = []
    if comparison.interval_shows_loss:
        reasons.append("interval")
    if comparison.sign_test_shows_loss:
        reasons.append("sign_test")
    if not reasons and comparison.lost_points:
        reasons.append("point_loss")
    return Check(run, metric, tuple(reasons), comparison=comparison, flips=tuple(flips))


def _check_probes(before: Probes, after: Probes) -> list[Check]:
    checks: list[Check] = []
    for verb, vectors in before.items():
        cosine = mean_cosine(vectors, after[verb]) if verb in after else None
        reasons: tuple[Reason, ...] = ()
        if cosine is None:
            reasons = ("missing",)
        elif cosine < COSINE_FLOOR:
            reasons = ("embedding",)
        checks.append(Check("dense", f"{verb} vectors", reasons, floor=COSINE_FLOOR, value=cosine))
    return checks


def _check_floors(summary: Summary, floors: Mapping[str, Mapping[str, float]]) -> list[Check]:
    checks: list[Check] = []
    for run, wanted in floors.items():
        for metric, floor in wanted.items():
            figure = summary.runs.get(run, {}).get(metric)
            reasons: tuple[Reason, ...] = ()
            if figure is None:
                reasons = ("missing",)
            elif figure.value < floor - TINY:
                reasons = ("floor",)
            value = figure.value if figure else None
            checks.append(Check(run, metric, reasons, floor=float(floor), value=value))
    return checks
