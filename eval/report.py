"""An evaluation → one self-contained HTML page, in Japanese, for a person to look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval.answers import AnswerRecord, line_of
from eval.gate import Flip, GateResult
from eval.gold import GoldQuestion, Target
from eval.metrics import RANK_METRICS
from eval.refusal import RiskPoint
from eval.runs import WHOLE, Evaluation, HitRecord, RunRecord
from eval.summary import Summary, group_size

TEMPLATES = Path(__file__).parent / "templates"
MAX_LISTED = 300
"""Questions listed of a public set, failures only, worst first; gold questions are all listed."""
MAX_SHOWN = 300
"""Characters shown of a document that should have been found."""

PLOT_WIDTH, PLOT_HEIGHT = 600, 260


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a hit's text; marked where it is part of the gold span."""

    text: str
    marked: bool


@dataclass(frozen=True, slots=True)
class HitView:
    """A hit and its text, cut at the edges of the gold spans."""

    hit: HitRecord
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class TargetView:
    """What should have been found, on which line it stands, at which rank it was found.

    `shown` is the quote, or how the document begins where the whole of it is the target.
    """

    target: Target
    shown: str
    line: int | None
    rank: int | None


@dataclass(frozen=True, slots=True)
class QuestionView:
    """A question with all that is shown of it; `flags` are what the page filters by."""

    question: GoldQuestion
    record: RunRecord
    answer: AnswerRecord | None
    targets: tuple[TargetView, ...]
    hits: tuple[HitView, ...]
    leg_ranks: tuple[tuple[str, int | None], ...]
    flips: tuple[Flip, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """The risk–coverage curve in the coordinates of its drawing."""

    width: int
    height: int
    top: float
    path: str
    dots: tuple[tuple[float, float, RiskPoint], ...]
    operating: tuple[float, float, RiskPoint] | None
    ticks: tuple[tuple[float, float], ...]


def render_report(evaluation: Evaluation, summary: Summary, gate: GateResult | None) -> str:
    """The page; the same bytes for the same measurement."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    views = [_view(question, evaluation, gate) for question in evaluation.questions]
    listed = views if evaluation.kind == "gold" else _worst(views)
    return environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        summary=summary,
        whole=summary.runs[WHOLE],
        group_size=group_size,
        rank_size=lambda figures: figures[RANK_METRICS[0]].n if figures else 0,
        gate=gate,
        views=listed,
        unlisted=len(views) - len(listed),
        flag_counts=_count_flags(listed),
        plot=plot_curve(summary.curve, summary.operating_point),
    )


def cut_at_spans(text: str, start: int, spans: Iterable[tuple[int, int]]) -> tuple[Piece, ...]:
    """`text`, which begins at `start` of its note, in pieces inside and outside of `spans`."""
    marked = [False] * len(text)
    for left, right in spans:
        for index in range(max(left - start, 0), min(right - start, len(text))):
            marked[index] = True
    edges = [i for i in range(1, len(text)) if marked[i] != marked[i - 1]]
    bounds = [0, *edges, len(text)] if text else []
    return tuple(Piece(text[left:right], marked[left]) for left, right in pairwise(bounds))


def plot_curve(points: Sequence[RiskPoint], operating: RiskPoint | None) -> Plot | None:
    """Where each point of the curve is drawn; the vertical axis ends at a round risk above all."""
    if not points:
        return None
    highest = max([point.risk for point in points] + ([operating.risk] if operating else []))
    top = next((edge for edge in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if edge >= highest), 1.0)

    def place(point: RiskPoint) -> tuple[float, float, RiskPoint]:
        x, y = PLOT_WIDTH * point.coverage, PLOT_HEIGHT * (1 - point.risk / top)
        return round(x, 1), round(y, 1), point

    dots = tuple(place(point) for point in points)
    return Plot(
        width=PLOT_WIDTH,
        height=PLOT_HEIGHT,
        top=top,
        path="M" + "L".join(f"{x},{y}" for x, y, _ in dots),
        dots=dots,
        operating=place(operating) if operating else None,
        ticks=tuple((PLOT_HEIGHT * (1 - part / 4), top * part / 4) for part in range(5)),
    )


def _view(question: GoldQuestion, evaluation: Evaluation, gate: GateResult | None) -> QuestionView:
    query_id = question.query_id
    record = evaluation.runs[WHOLE][query_id]
    answer = evaluation.answers.get(query_id)
    flips = [flip for flip in gate.flips if flip.query_id == query_id] if gate else []
    return QuestionView(
        question=question,
        record=record,
        answer=answer,
        targets=tuple(_view_targets(question, record, evaluation)),
        hits=tuple(_view_hit(hit, question, evaluation) for hit in record.hits),
        leg_ranks=tuple(
            (run, records[query_id].first_rank)
            for run, records in evaluation.runs.items()
            if run != WHOLE and query_id in records
        ),
        flips=tuple(flips),
        flags=tuple(_flags(question, record, answer, flips)),
    )


def _flags(
    question: GoldQuestion,
    record: RunRecord,
    answer: AnswerRecord | None,
    flips: Sequence[Flip],
) -> list[str]:
    rank = record.first_rank
    told = {
        "missed": bool(question.targets) and (rank is None or rank > 5),
        "not-first": bool(question.targets) and rank != 1,
        "refused-wrongly": answer is not None and question.answerable and answer.refused,
        "answered-wrongly": answer is not None and not question.answerable and not answer.refused,
        "key-missed": answer is not None and answer.key_right is False,
        "citation-fault": answer is not None and bool(answer.faults),
        "lost": any(flip.lost and flip.run == WHOLE for flip in flips),
        "won": any(not flip.lost and flip.run == WHOLE for flip in flips),
        "leg-lost": any(flip.lost and flip.run != WHOLE for flip in flips),
    }
    return [flag for flag, is_so in told.items() if is_so]


def _view_targets(
    question: GoldQuestion, record: RunRecord, evaluation: Evaluation
) -> Iterable[TargetView]:
    for number, target in enumerate(question.targets):
        text = evaluation.documents[target.doc_id].text
        line = line_of(text, target.spans[0][0]) if target.spans else None
        rank = next((hit.rank for hit in record.hits if number in hit.targets), None)
        shown = target.quote or text[:MAX_SHOWN] + ("…" if len(text) > MAX_SHOWN else "")
        yield TargetView(target, shown, line, rank)


def _view_hit(hit: HitRecord, question: GoldQuestion, evaluation: Evaluation) -> HitView:
    text = evaluation.documents[hit.doc_id].text[hit.start_index : hit.end_index]
    spans = [span for t in question.targets if t.doc_id == hit.doc_id for span in t.spans]
    return HitView(hit, cut_at_spans(text, hit.start_index, spans))


def _worst(views: Sequence[QuestionView]) -> list[QuestionView]:
    failed = [view for view in views if view.flags]
    failed.sort(key=lambda view: (view.record.scores["ndcg@10"], view.question.query_id))
    return failed[:MAX_LISTED]


def _count_flags(views: Sequence[QuestionView]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for view in views:
        for flag in view.flags:
            counts[flag] = counts.get(flag, 0) + 1
    return counts
