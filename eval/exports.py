"""Measurements → files other programs read: JSON, TREC run and qrels, JUnit XML, Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from eval.gate import Check, GateResult
from eval.gold import GoldQuestion
from eval.intervals import Estimate
from eval.runs import Evaluation, RunRecord
from eval.summary import Summary
from rag.types import Chunk

SCHEMA = 1
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def summary_json(
    evaluation: Evaluation, summary: Summary, gate: GateResult | None
) -> dict[str, Any]:
    """The figures as one JSON object; what was not measured is absent or null."""
    questions = evaluation.questions
    return {
        "schema": SCHEMA,
        "set": {
            "name": evaluation.name,
            "kind": evaluation.kind,
            "questions": len(questions),
            "answerable": sum(question.answerable for question in questions),
            "unanswerable": sum(not question.answerable for question in questions),
            "from_feedback": evaluation.from_feedback,
            "documents": len(evaluation.documents),
            "notes": list(evaluation.notes),
        },
        "runs": _figures(summary.runs),
        "splits": _figures(summary.splits),
        "tags": _figures(summary.tags),
        "latency_ms": _figures(summary.latency_ms),
        "area_under_risk": summary.area_under_risk,
        "operating_point": asdict(summary.operating_point) if summary.operating_point else None,
        "risk_coverage": [asdict(point) for point in summary.curve],
        "gate": gate_json(gate) if gate else None,
    }


def gate_json(gate: GateResult) -> dict[str, Any]:
    """The gate's verdict and every check."""
    return {
        "passed": gate.passed,
        "compared": gate.compared,
        "notes": gate.notes,
        "added": list(gate.added),
        "removed": list(gate.removed),
        "changed": list(gate.changed),
        "checks": [_check_json(check) for check in gate.checks],
    }


def questions_json(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One record a question: what was asked and expected, every run's hits, the answer."""
    return [
        {
            "query_id": question.query_id,
            "question": question.question,
            "history": list(question.history),
            "tags": list(question.tags),
            "split": question.split,
            "origin": question.origin,
            "answerable": question.answerable,
            "targets": [asdict(target) for target in question.targets],
            "answer_keys": question.answer_keys,
            "runs": {
                run: asdict(records[question.query_id])
                for run, records in evaluation.runs.items()
                if question.query_id in records
            },
            "answer": asdict(evaluation.answers[question.query_id])
            if question.query_id in evaluation.answers
            else None,
        }
        for question in evaluation.questions
    ]


def trec_run(records: Mapping[str, RunRecord], name: str, by_document: bool) -> str:
    """`query Q0 id rank score run` lines.

    The score is 1/rank, since tools sort by it and would reorder hits whose own scores tie.
    """
    return _lines(
        f"{record.query_id} Q0 {_trec_id(hit.doc_id if by_document else hit.chunk_id)} "
        f"{hit.rank} {1 / hit.rank:.6f} {name}"
        for record in records.values()
        for hit in record.hits
    )


def trec_qrels(
    questions: Sequence[GoldQuestion], chunks: Sequence[Chunk], by_document: bool
) -> str:
    """`query 0 id relevance` lines: the documents to find, or every chunk that holds a quote.

    Two chunks may hold the same quote; tools that know only qrels then want both, where our
    recall wants the quote once.
    """
    if by_document:
        return _lines(
            f"{question.query_id} 0 {_trec_id(target.doc_id)} {target.relevance:.0f}"
            for question in questions
            for target in question.targets
        )
    by_doc: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        by_doc.setdefault(chunk.doc_id, []).append(chunk)
    held = (
        (question.query_id, chunk.chunk_id)
        for question in questions
        for target in question.targets
        for chunk in by_doc.get(target.doc_id, [])
        if target.held_by(chunk)
    )
    return _lines(
        f"{query_id} 0 {_trec_id(chunk_id)} 1" for query_id, chunk_id in dict.fromkeys(held)
    )


def junit_xml(gate: GateResult | None, name: str) -> str:
    """One test case a check; what only warns passes, with its message as output."""
    checks = gate.checks if gate else ()
    failures = sum(check.status == "fail" for check in checks)
    suite = ElementTree.Element(
        "testsuite",
        name=_xml_text(f"kotae eval {name}"),
        tests=str(len(checks)),
        failures=str(failures),
    )
    for check in checks:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"kotae.eval.{check.run}", name=_xml_text(check.name)
        )
        output = "\n".join([f"{check.status}: {check.message}", *flip_lines(check)])
        if check.status == "fail":
            failure = ElementTree.SubElement(case, "failure", message=_xml_text(check.message))
            failure.text = _xml_text(output)
        else:
            ElementTree.SubElement(case, "system-out").text = _xml_text(output)
    if gate and gate.notes:
        ElementTree.SubElement(suite, "system-out").text = _xml_text("\n".join(gate.notes))
    ElementTree.indent(suite)
    xml = ElementTree.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}\n'


def set_words(evaluation: Evaluation) -> str:
    """How large the set is, what it is about, and how much of it came from readers."""
    questions = evaluation.questions
    answerable = sum(question.answerable for question in questions)
    counts = [f"{len(questions)} questions", f"{answerable} answerable"]
    if evaluation.from_feedback:
        counts.append(f"{evaluation.from_feedback} from readers' feedback")
    return f"{', '.join(counts)}, over {len(evaluation.documents)} documents"


def summary_markdown(
    evaluation: Evaluation, summary: Summary, gate: GateResult | None, metrics: Sequence[str]
) -> str:
    """A page for a pull request: the set, the runs' figures and what the gate says."""
    rows = [f"| run | {' | '.join(metrics)} |", f"|---|{'---|' * len(metrics)}"]
    for run, figures in summary.runs.items():
        cells = (estimate_words(figures[m]) if m in figures else "–" for m in metrics)
        rows.append(f"| {run} | {' | '.join(cells)} |")
    lines = ["## kotae eval", "", f"{evaluation.name}: {set_words(evaluation)}", "", *rows, ""]
    if gate:
        lines += [f"**Gate: {'passed' if gate.passed else 'FAILED'}**", ""]
        lines += [
            f"- {check.status.upper()} {check.name}: {check.message}"
            for check in gate.checks
            if check.status != "pass"
        ]
        lines += [f"- {note}" for note in gate.notes]
    return "\n".join(lines) + "\n"


def estimate_words(estimate: Estimate) -> str:
    """`0.912 (0.871–0.941)`."""
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def flip_lines(check: Check) -> list[str]:
    """The questions that flipped: a line for those lost, a line for those won."""
    lost = sorted(flip.query_id for flip in check.flips if flip.lost)
    won = sorted(flip.query_id for flip in check.flips if not flip.lost)
    return [f"{what}: {', '.join(ids)}" for what, ids in (("lost", lost), ("won", won)) if ids]


def _check_json(check: Check) -> dict[str, Any]:
    comparison = asdict(check.comparison) if check.comparison else None
    return {
        "name": check.name,
        "run": check.run,
        "metric": check.metric,
        "status": check.status,
        "reasons": list(check.reasons),
        "message": check.message,
        "comparison": comparison,
        "smallest_visible_loss": check.visible_loss or None,
        "floor": check.floor,
        "value": check.value,
        "lost": [flip.query_id for flip in check.flips if flip.lost],
        "won": [flip.query_id for flip in check.flips if not flip.lost],
    }


def _figures(groups: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, Any]]:
    return {
        group: {metric: asdict(estimate) for metric, estimate in figures.items()}
        for group, figures in groups.items()
    }


def _trec_id(name: str) -> str:
    return "_".join(name.split())


def _xml_text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _lines(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
