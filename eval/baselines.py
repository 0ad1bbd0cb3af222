"""A committed baseline: every question's scores (baseline.json), absolute floors (floors.toml)."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.metrics import RANK_METRICS
from eval.probing import Probes, read_vectors
from eval.runs import RUNS, WHOLE, Evaluation
from eval.summary import Summary, question_scores
from rag.errors import ConfigError

SCHEMA = 1
KEPT_RANK_METRICS = ("hit@1", "hit@5", "mrr@10", "ndcg@10")
ANSWER_METRICS = ("answer_right", "citations_valid", "decision_right")
FLOOR_METRICS = (
    *RANK_METRICS,
    *ANSWER_METRICS,
    "statements_cited",
    "answerable_answered",
    "refusal_precision",
    "refusal_recall",
    "auroc",
)
_FIRST_FLOORS = {
    WHOLE: ("hit@1", "hit@5", "ndcg@10", "answer_right", "answerable_answered", "auroc")
}
_FIRST_LEG_FLOORS = ("hit@5", "ndcg@10")
_FLOORS_HEAD = """\
# Absolute floors, as shares: `kotae eval --baseline` fails when a figure is below its floor,
# whatever the comparison with baseline.json says. A leg's floor catches a dead leg that fusion
# hides. First written from the lower ends of the 95% intervals; from then on yours to edit.
"""

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""run → query_id → metric → score."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the committed run scored, question by question, and the floors beside it."""

    kind: str
    fingerprints: Mapping[str, str]
    scores: Scores
    floors: Mapping[str, Mapping[str, float]]
    probes: Probes = field(default_factory=dict)


def kept_scores(evaluation: Evaluation) -> dict[str, dict[str, dict[str, float]]]:
    """The scores a baseline keeps, rounded as it keeps them."""
    kept = (*KEPT_RANK_METRICS, *ANSWER_METRICS)
    return {
        run: {
            query_id: {metric: round(own[metric], 6) for metric in kept if metric in own}
            for query_id, own in by_question.items()
        }
        for run, by_question in question_scores(evaluation).items()
    }


def read_baseline(folder: Path) -> Baseline:
    """The baseline in a folder; ConfigError when it is absent or broken."""
    path = folder / "baseline.json"
    try:
        content = json.loads(_read(path))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r}, this program reads {SCHEMA}")
        questions = content["questions"]
        fingerprints = {query_id: str(row["fingerprint"]) for query_id, row in questions.items()}
        scores = _by_run(questions)
        probes = {verb: read_vectors(rows) for verb, rows in content.get("probes", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: not a baseline ({error}); write one with `kotae eval --write-baseline "
            f"{folder}`"
        ) from error
    floors_path = folder / "floors.toml"
    floors = read_floors(floors_path) if floors_path.exists() else {}
    return Baseline(str(content.get("kind")), fingerprints, scores, floors, probes)


def read_floors(path: Path) -> dict[str, dict[str, float]]:
    """run → metric → floor; ConfigError names an unknown run or metric, or a value out of 0–1."""
    try:
        tables = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    for run, floors in tables.items():
        if run not in RUNS or not isinstance(floors, dict):
            raise ConfigError(f"{path}: unknown table [{run}]; choose of {', '.join(RUNS)}")
        for metric, floor in floors.items():
            if metric not in FLOOR_METRICS:
                known = ", ".join(FLOOR_METRICS)
                raise ConfigError(f"{path}: unknown metric {metric!r} in [{run}]; known: {known}")
            if isinstance(floor, bool) or not isinstance(floor, int | float):
                raise ConfigError(f"{path}: [{run}] {metric} = {floor!r} is not a number")
            if not 0 <= floor <= 1:
                raise ConfigError(f"{path}: [{run}] {metric} = {floor} is not a share, 0 to 1")
    return tables


def write_baseline(folder: Path, evaluation: Evaluation, summary: Summary) -> None:
    """Both files, the same bytes for the same measurement; floors that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    scores = kept_scores(evaluation)
    lines = []
    for question in sorted(evaluation.questions, key=lambda question: question.query_id):
        own = {run: by[question.query_id] for run, by in scores.items() if question.query_id in by}
        row = {"fingerprint": question.fingerprint, "scores": own}
        name = json.dumps(question.query_id, ensure_ascii=False)
        lines.append(f"{name}: {json.dumps(row, sort_keys=True)}")
    body = ",\n".join(lines)
    probes = json.dumps({verb: rows.tolist() for verb, rows in evaluation.probes.items()})
    head = f'"schema": {SCHEMA},\n"kind": {json.dumps(evaluation.kind)},\n"probes": {probes},\n'
    text = f'{{\n{head}"questions": {{\n{body}\n}}\n}}\n'
    (folder / "baseline.json").write_text(text, encoding="utf-8", newline="\n")
    floors = folder / "floors.toml"
    if not floors.exists():
        floors.write_text(_first_floors(summary), encoding="utf-8", newline="\n")


def _first_floors(summary: Summary) -> str:
    lines = [_FLOORS_HEAD]
    for run, figures in summary.runs.items():
        lines.append(f"[{run}]")
        for metric in _FIRST_FLOORS.get(run, _FIRST_LEG_FLOORS):
            if metric in figures:
                lines.append(f'"{metric}" = {math.floor(figures[metric].low * 100) / 100:.2f}')
        if run == WHOLE and "citations_valid" in figures:
            lines.append('"citations_valid" = 1.00')
        lines.append("")
    return "\n".join(lines)


def _by_run(questions: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    by_run: dict[str, dict[str, dict[str, float]]] = {}
    for query_id, row in questions.items():
        for run, scores in row["scores"].items():
            numbers = {metric: float(score) for metric, score in scores.items()}
            by_run.setdefault(run, {})[query_id] = numbers
    return by_run


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{path}: cannot be read ({reason}); write a baseline with "
            f"`kotae eval --write-baseline {path.parent}`"
        ) from error
