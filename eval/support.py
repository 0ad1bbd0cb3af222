"""How often verification errs: statements of known truth, made from the gold questions.

    python -m eval.support [--corpus DIR] [--index DIR] [--gold FILE… --statements FILE]
                           [--split tune|held|all] [--errors] [--fit]

Hand-written statements, true and false, stand in eval/statements/aws.jsonl. Made from the gold
are: `verbatim` (the gold quote itself, true), `number_swap` (one of its numbers changed) and
`wrong_note` (a true statement that cites notes other than its own, shown none but these). `--fit`
writes rag/data/support.json from the tuning half; figures are to be read on the held one.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.fit_answerability import fit_logistic
from eval.gold import GoldQuestion, anchor_gold, load_gold
from eval.intervals import wilson
from rag.assistant import Assistant
from rag.config import load_settings
from rag.drafts import Draft
from rag.support import CONFIRMED_SUPPORT
from rag.text import plain_text
from rag.types import Hit
from rag.units import sections_of, units_of
from rag.verification import Verifier

TRUE_KINDS = ("true", "verbatim")
FALSE_KINDS = (
    "number",
    "number_swap",
    "negation",
    "opposite",
    "entity",
    "invented",
    "wrong_note",
)
SIGNALS = ("words", "bigrams", "late", "dense")
MAX_VERBATIM_CHARS = 160
STATEMENTS = Path(__file__).parent / "statements" / "aws.jsonl"
PARAMETERS = Path(__file__).parent.parent / "rag" / "data" / "support.json"


@dataclass(frozen=True, slots=True)
class Case:
    """A statement as a model might write it, the hits it was shown, and the one that it cites."""

    query_id: str
    split: str
    kind: str
    statement: str
    hits: tuple[Hit, ...]
    cited: int

    @property
    def supported(self) -> bool:
        """The notes say so."""
        return self.kind in TRUE_KINDS


def make_cases(
    assistant: Assistant, questions: Sequence[GoldQuestion], statements: Path
) -> Iterator[Case]:
    """Cases of all questions whose passage is among the hits."""
    written = read_statements(statements)
    for question in questions:
        if not question.targets:
            continue
        hits = assistant.search(question.question, history=question.history).hits
        holding = [hit for hit in hits if any(t.held_by(hit.chunk) for t in question.targets)]
        if not holding:
            continue
        cited = holding[0].rank
        for kind, statement in [*written.get(question.query_id, ()), *made_of(question)]:
            yield Case(question.query_id, question.split, kind, statement, hits, cited)
            own = {target.doc_id for target in question.targets}
            others = tuple(hit for hit in hits if hit.chunk.doc_id not in own)
            if kind == "true" and others:
                wrong = others[0].rank
                yield Case(
                    question.query_id, question.split, "wrong_note", statement, others, wrong
                )


def made_of(question: GoldQuestion) -> Iterator[tuple[str, str]]:
    """(kind, statement) made from the first target's quote."""
    quote = " ".join(plain_text(question.targets[0].quote).split())
    if not quote or len(quote) > MAX_VERBATIM_CHARS:
        return
    yield "verbatim", quote
    number = re.search(r"(?<![A-Za-z0-9.])\d+(?![A-Za-z0-9.])", quote)
    if number:
        changed = str(int(number.group()) + 1)
        yield "number_swap", quote[: number.start()] + changed + quote[number.end() :]


def read_statements(path: Path) -> Mapping[str, Sequence[tuple[str, str]]]:
    """(kind, statement) of each query_id."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["query_id"], []).append((row["kind"], row["statement"]))
    return found


def supports(assistant: Assistant, cases: Iterable[Case]) -> list[float]:
    """The support that verification gives each statement."""
    verifier = _verifier(assistant)
    found = []
    for case in cases:
        draft = Draft(case.statement, (case.cited,))
        sections = [s for hit in case.hits for s in assistant.sections(hit.chunk.doc_id)]
        verified = verifier.verify([draft], case.hits, sections)
        found.append(verified.statements[0].support)
    return found


def report(cases: Sequence[Case], support: Sequence[float]) -> list[str]:
    """A Markdown table: which share of each kind is confirmed; then precision and recall."""
    confirmed = [value >= CONFIRMED_SUPPORT for value in support]
    lines = ["| statements | shown as confirmed | n |", "|---|---|---|"]
    for kind in (*TRUE_KINDS, *FALSE_KINDS):
        of_kind = [ok for case, ok in zip(cases, confirmed, strict=True) if case.kind == kind]
        if of_kind:
            lines.append(f"| {kind} | {_share(sum(of_kind), len(of_kind))} | {len(of_kind)} |")
    hand = [
        (case.supported, ok)
        for case, ok in zip(cases, confirmed, strict=True)
        if case.kind not in ("verbatim", "number_swap", "wrong_note")
    ]
    shown = [truth for truth, ok in hand if ok]
    true = [ok for truth, ok in hand if truth]
    lines.append("")
    if shown and true:
        lines.append(
            f"Hand-written: precision of 'confirmed' {_share(sum(shown), len(shown))}, "
            f"n {len(shown)}; recall {_share(sum(true), len(true))}, n {len(true)}"
        )
    return lines


def fit(assistant: Assistant, cases: Sequence[Case]) -> None:
    """Writes the parameters fitted on these cases, of which hard facts refute none."""
    verifier = _verifier(assistant)
    rows, labels = [], []
    for case in cases:
        if case.kind in ("number", "number_swap", "negation", "opposite"):
            continue  # hard facts decide these
        units = {
            hit.rank: units_of(
                assistant.snapshot, hit, sections_of(hit, assistant.sections(hit.chunk.doc_id))
            )
            for hit in case.hits
        }
        cited = [hit for hit in case.hits if hit.rank == case.cited]
        evidence = verifier.judge_among(case.statement, cited, units).evidence
        if evidence:
            signals = verifier.signals(case.statement, evidence[0])
            rows.append([signals[name] for name in SIGNALS])
            labels.append(float(case.supported))
    intercept, weights = fit_logistic(np.array(rows), np.array(labels))
    parameters = {
        "intercept": round(intercept, 4),
        "weights": {n: round(float(w), 4) for n, w in zip(SIGNALS, weights, strict=True)},
        "provenance": {
            "made_by": "python -m eval.support --fit",
            "statements": f"{len(labels)} of the tuning half, {int(sum(labels))} of them true",
            "embedder": assistant.snapshot.manifest.recipe.embedder,
        },
    }
    PARAMETERS.write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")


def _verifier(assistant: Assistant) -> Verifier:
    retriever = assistant.retriever
    return Verifier(assistant.snapshot, retriever.embed, retriever.aliases)


def _share(count: int, n: int) -> str:
    estimate = wilson(count, n)
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def main() -> None:
    """Measures, or fits first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--index", type=Path)
    parser.add_argument("--gold", type=Path, nargs="+", help="other gold questions")
    parser.add_argument("--statements", type=Path, default=STATEMENTS, help="about their answers")
    parser.add_argument("--split", choices=("tune", "held", "all"), default="held")
    parser.add_argument("--errors", action="store_true", help="name what was judged wrongly")
    parser.add_argument("--fit", action="store_true", help="write rag/data/support.json first")
    options = parser.parse_args()
    assistant = Assistant.open(load_settings(corpus=options.corpus, index=options.index))
    paths = options.gold or sorted((Path(__file__).parent / "gold").glob("*.jsonl"))
    documents = {document.doc_id: document for document in assistant.documents()}
    questions = anchor_gold(load_gold(paths), documents)
    cases = list(make_cases(assistant, questions, options.statements))
    if options.fit:
        fit(assistant, [case for case in cases if case.split == "tune"])
        sys.stderr.write(f"{PARAMETERS} written; run again to measure\n")
        return
    cases = [case for case in cases if options.split in ("all", case.split)]
    support = supports(assistant, cases)
    sys.stdout.write("\n".join(report(cases, support)) + "\n")
    if options.errors:
        for case, value in zip(cases, support, strict=True):
            if (value >= CONFIRMED_SUPPORT) is not case.supported:
                sys.stdout.write(f"{value:.2f} {case.kind} {case.query_id} {case.statement}\n")


if __name__ == "__main__":
    main()
