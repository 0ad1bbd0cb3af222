"""Records of single questions → figures with n and 95% interval: by run, by tag, by split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.answers import AnswerRecord
from eval.gold import SPLITS, GoldQuestion
from eval.intervals import Estimate, bootstrap_means, quantile_estimate, wilson
from eval.metrics import RANK_METRICS
from eval.refusal import RiskPoint, area_under_risk, auroc, risk_coverage
from eval.runs import WHOLE, Evaluation, RunRecord

Figures = dict[str, Estimate]

LENGTH_HITS = 5
"""Hits whose length is reported: a passage found is worth less the longer it is."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a table needs; a figure without a single case is absent, never 0."""

    runs: Mapping[str, Figures]
    tags: Mapping[str, Figures]
    splits: Mapping[str, Figures]
    latency_ms: Mapping[str, Figures]
    curve: tuple[RiskPoint, ...]
    area_under_risk: float | None
    operating_point: RiskPoint | None


def summarise(evaluation: Evaluation) -> Summary:
    """Every figure of an evaluation."""
    questions = evaluation.questions
    tags = sorted({tag for question in questions for tag in question.tags})
    splits = [split for split in SPLITS if any(q.split == split for q in questions)]
    runs = {run: measure_ranking(questions, records) for run, records in evaluation.runs.items()}
    runs[WHOLE] = measure(evaluation, lambda question: True)
    curve = tuple(_curve(evaluation)) if evaluation.answers else ()
    return Summary(
        runs=runs,
        tags={tag: _measure_tag(evaluation, tag) for tag in tags},
        splits={split: measure(evaluation, _in_split(split)) for split in splits},
        latency_ms=_measure_latency(evaluation),
        curve=curve,
        area_under_risk=area_under_risk(curve) if curve else None,
        operating_point=_operating_point(evaluation),
    )


def measure(evaluation: Evaluation, wanted: Callable[[GoldQuestion], bool]) -> Figures:
    """The whole program on the questions that are wanted."""
    questions = [question for question in evaluation.questions if wanted(question)]
    figures = measure_ranking(questions, evaluation.runs[WHOLE])
    figures |= _measure_length(questions, evaluation.runs[WHOLE])
    if evaluation.answers:
        figures |= measure_answers([evaluation.answers[q.query_id] for q in questions])
        figures |= measure_refusal(questions, evaluation.answers)
        figures |= measure_separation(questions, evaluation.answers)
    return figures


def group_size(figures: Figures) -> int:
    """How many questions the group has, as far as its figures tell."""
    counted = [figures[name].n for name in ("decision_right", RANK_METRICS[0]) if name in figures]
    return max(counted, default=0)


def measure_ranking(questions: Sequence[GoldQuestion], records: Mapping[str, RunRecord]) -> Figures:
    """RANK_METRICS over the questions with a target; one that was not run scores 0."""
    rows = [
        [records[q.query_id].scores[m] if q.query_id in records else 0.0 for m in RANK_METRICS]
        for q in questions
        if q.targets
    ]
    if not rows:
        return {}
    figures = dict(zip(RANK_METRICS, bootstrap_means(np.array(rows)), strict=True))
    shares = [metric for metric in RANK_METRICS if metric.startswith("hit@")]
    return figures | {
        metric: wilson(figures[metric].value * len(rows), len(rows)) for metric in shares
    }


def measure_answers(records: Sequence[AnswerRecord]) -> Figures:
    """Answer keys met, citations that are what they say, statements that carry one."""
    keyed = [record.key_right for record in records if record.key_right is not None]
    citations = sum(record.citation_count for record in records)
    statements = sum(record.statement_count for record in records)
    return _shares(
        answer_right=(sum(keyed), len(keyed)),
        citations_valid=(citations - sum(record.invalid_count for record in records), citations),
        statements_cited=(sum(record.cited_count for record in records), statements),
    )


def measure_refusal(
    questions: Sequence[GoldQuestion], answers: Mapping[str, AnswerRecord]
) -> Figures:
    """At the operating point: how often a refusal is right, found, and wrongly given."""
    refused = [q for q in questions if answers[q.query_id].refused]
    unanswerable = [q for q in questions if not q.answerable]
    rightly = sum(not q.answerable for q in refused)
    answerable_count = len(questions) - len(unanswerable)
    wrongly = len(refused) - rightly
    return _shares(
        refusal_precision=(rightly, len(refused)),
        refusal_recall=(rightly, len(unanswerable)),
        answerable_answered=(answerable_count - wrongly, answerable_count),
        decision_right=(len(questions) - len(unanswerable) - wrongly + rightly, len(questions)),
    )


def measure_separation(
    questions: Sequence[GoldQuestion], answers: Mapping[str, AnswerRecord]
) -> Figures:
    """AUROC of the answerable score, where both kinds of question are present."""
    scores: dict[bool, list[float]] = {True: [], False: []}
    for question in questions:
        scores[question.answerable].append(answers[question.query_id].answerable)
    return {"auroc": auroc(scores[True], scores[False])} if all(scores.values()) else {}


def question_scores(evaluation: Evaluation) -> dict[str, dict[str, dict[str, float]]]:
    """run → query_id → metric → score: what a later run is compared with, question by question."""
    scores = {
        run: {query_id: dict(record.scores) for query_id, record in records.items()}
        for run, records in evaluation.runs.items()
    }
    for question in evaluation.questions:
        record = evaluation.answers.get(question.query_id)
        if record is None:
            continue
        own = scores[WHOLE].setdefault(question.query_id, {})
        own["decision_right"] = float(record.refused != question.answerable)
        if record.key_right is not None:
            own["answer_right"] = float(record.key_right)
        if record.citation_count:
            own["citations_valid"] = float(not record.invalid_count)
    return scores


def is_wrong(question: GoldQuestion, evaluation: Evaluation) -> bool:
    """Answering it would mislead: nothing to find, or what was to be found is not there."""
    if not question.answerable:
        return True
    if question.targets:
        return not evaluation.runs[WHOLE][question.query_id].scores["hit@5"]
    return not evaluation.answers[question.query_id].key_right


def _in_split(split: str) -> Callable[[GoldQuestion], bool]:
    return lambda question: question.split == split


def _measure_tag(evaluation: Evaluation, tag: str) -> Figures:
    """As `measure`, but unanswerable questions of a tag are set against all answerable ones."""
    figures = measure(evaluation, lambda question: tag in question.tags)
    against = [q for q in evaluation.questions if q.answerable or tag in q.tags]
    figures.pop("auroc", None)
    if evaluation.answers:
        figures |= measure_separation(against, evaluation.answers)
    return figures


def _measure_length(questions: Sequence[GoldQuestion], records: Mapping[str, RunRecord]) -> Figures:
    lengths = [
        [float(hit.end_index - hit.start_index)]
        for question in questions
        for hit in records[question.query_id].hits[:LENGTH_HITS]
    ]
    return {"hit_chars": bootstrap_means(np.array(lengths))[0]} if lengths else {}


def _measure_latency(evaluation: Evaluation) -> dict[str, Figures]:
    took = {
        "search": [record.took_ms for record in evaluation.runs[WHOLE].values()],
        "ask": [record.took_ms for record in evaluation.answers.values()],
    }
    return {
        what: {"p50": quantile_estimate(values, 0.50), "p95": quantile_estimate(values, 0.95)}
        for what, values in took.items()
        if values
    }


def _curve(evaluation: Evaluation) -> list[RiskPoint]:
    questions = evaluation.questions
    scores = [evaluation.answers[q.query_id].answerable for q in questions]
    return risk_coverage(scores, [is_wrong(q, evaluation) for q in questions])


def _operating_point(evaluation: Evaluation) -> RiskPoint | None:
    """Where the program's own refusals put it; None when it answers nothing."""
    answered = [
        q
        for q in evaluation.questions
        if q.query_id in evaluation.answers and not evaluation.answers[q.query_id].refused
    ]
    if not answered:
        return None
    return RiskPoint(
        threshold=min(evaluation.answers[q.query_id].answerable for q in answered),
        coverage=len(answered) / len(evaluation.questions),
        risk=sum(is_wrong(q, evaluation) for q in answered) / len(answered),
    )


def _shares(**counts: tuple[float, int]) -> Figures:
    return {name: wilson(right, n) for name, (right, n) in counts.items() if n}
