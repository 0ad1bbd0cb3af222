"""Stage 8: what a model wrote + Hits → Statements with verified Citations.

The program finds every span itself; of the model's citations only the numbers are taken, as a hint
where to look first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rag.aliases import Aliases
from rag.citations import cite_span
from rag.drafts import Draft
from rag.protocols import Matrix, TokenVectors
from rag.quotes import find_quote, quotes_in
from rag.snapshot import Snapshot
from rag.support import (
    CONFIRMED_SUPPORT,
    REFUTED_SUPPORT,
    Evidence,
    refutations,
    shared_signals,
    support_probability,
)
from rag.types import Citation, Document, Hit, Section, Statement
from rag.units import Unit, met_tokens, sections_of, units_of

OWN_CITATION_SUPPORT = 0.6
"""Where the model cites nothing, or wrongly, the program's own span must be surer than half."""
MAX_RUN = 3
"""A statement may sum up so many neighbouring units."""
RUN_DISCOUNT = 0.01
REFUTED_DISCOUNT = 0.2
MAX_CITATIONS = 3


@dataclass(frozen=True, slots=True)
class _Judged:
    """Spans a statement rests on, best first, and how well they support it together."""

    evidence: tuple[Evidence, ...] = ()
    support: float = 0.0


@dataclass(frozen=True, slots=True)
class Verified:
    """Statements in the model's order, and the citations they name."""

    statements: tuple[Statement, ...]
    citations: tuple[Citation, ...]

    @property
    def confirmed(self) -> bool:
        """At least one statement stands in the notes."""
        return any(s.support >= CONFIRMED_SUPPORT for s in self.statements)


@dataclass(frozen=True)
class Verifier:
    """Verifies against the notes of one snapshot; `embed` gives a text's vector and tokens."""

    snapshot: Snapshot
    embed: Callable[[str], tuple[Matrix, TokenVectors]]
    aliases: Aliases

    def verify(
        self, drafts: Sequence[Draft], hits: Sequence[Hit], sections: Sequence[Section]
    ) -> Verified:
        """Every draft as a statement; `sections` are those of the notes hit."""
        units = {hit.rank: units_of(self.snapshot, hit, sections_of(hit, sections)) for hit in hits}
        numbering = _Numbering(self.snapshot.documents)
        statements = []
        for draft in drafts:
            judged = self._judge(draft, hits, units)
            numbers = tuple(dict.fromkeys(map(numbering.number_of, judged.evidence)))
            statements.append(Statement(draft.text, numbers, round(judged.support, 3)))
        return Verified(tuple(statements), tuple(numbering.citations))

    def _judge(
        self, draft: Draft, hits: Sequence[Hit], units: Mapping[int, Sequence[Unit]]
    ) -> _Judged:
        cited = [hit for hit in hits if hit.rank in draft.numbers]
        found = self.judge_among(draft.text, cited, units)
        if found.support < CONFIRMED_SUPPORT:
            own = self.judge_among(draft.text, hits, units, together=False)
            if own.support >= OWN_CITATION_SUPPORT:
                found = own
        return self._check_quotes(draft.text, found, [*cited, *hits])

    def judge_among(
        self,
        text: str,
        hits: Sequence[Hit],
        units: Mapping[int, Sequence[Unit]],
        together: bool = True,
    ) -> _Judged:
        """The best span; if it does not do and hits may be taken `together`, more of them."""
        best = [
            max(found, key=lambda pair: pair[1])
            for hit in hits
            if (found := list(self._candidates(text, units[hit.rank])))
        ]
        best.sort(key=lambda pair: -pair[1])
        if not best:
            return _Judged()
        chosen = [best[0][0]]
        evidence = best[0][0]
        support = self.support(text, evidence)
        for other, _ in best[1:MAX_CITATIONS] if together else ():
            if support < CONFIRMED_SUPPORT:
                chosen.append(other)
                evidence = evidence.joined(other)
                support = self.support(text, evidence)
        if support < CONFIRMED_SUPPORT:
            del chosen[1:]
        return _Judged(tuple(chosen), support)

    def _candidates(self, text: str, units: Sequence[Unit]) -> Iterator[tuple[Evidence, float]]:
        """Units and runs of neighbouring units, each with how much it shares with the text."""
        _, tokens = self.embed(text)
        weights = self.snapshot.tokens.weights(tokens.ids)
        own = [met_tokens(self.snapshot, unit, tokens.vectors, context=False) for unit in units]
        all_met = [met_tokens(self.snapshot, unit, tokens.vectors) for unit in units]
        for first in range(len(units)):
            for last in range(first, min(first + MAX_RUN, len(units))):
                run = units[first : last + 1]
                evidence = Evidence(
                    hit=run[0].hit,
                    start_index=run[0].start_index,
                    end_index=run[-1].end_index,
                    text="\n".join(unit.text for unit in run),
                    place="\n".join(run[0].path),
                    met=np.max([all_met[first], *own[first : last + 1]], axis=0),
                )
                shared = sum(shared_signals(text, weights, evidence).values()) / 3
                refuted = bool(refutations(text, evidence, self.aliases.expansions))
                yield evidence, shared - RUN_DISCOUNT * len(run) - REFUTED_DISCOUNT * refuted

    def signals(self, text: str, evidence: Evidence) -> dict[str, float]:
        """What tells whether the span says what the text says."""
        vector, tokens = self.embed(text)
        weights = self.snapshot.tokens.weights(tokens.ids)
        alike = float(vector @ self.embed(evidence.text)[0])
        return shared_signals(text, weights, evidence) | {"dense": alike}

    def support(self, text: str, evidence: Evidence) -> float:
        """How likely the span confirms the text, 0–1."""
        support = support_probability(self.signals(text, evidence))
        if refutations(text, evidence, self.aliases.expansions):
            return REFUTED_SUPPORT * support
        return support

    def _check_quotes(self, text: str, judged: _Judged, hits: Sequence[Hit]) -> _Judged:
        """A quote that no hit holds literally refutes; one that stands elsewhere is cited there."""
        for quoted in quotes_in(text):
            if any(find_quote(quoted, evidence.text) for evidence in judged.evidence):
                continue
            place = next(
                ((hit, span) for hit in hits if (span := find_quote(quoted, hit.chunk.text))), None
            )
            if place is None:
                named = any(find_quote(quoted, hit.chunk.breadcrumb) for hit in hits)
                if not named:
                    judged = replace(judged, support=min(judged.support, REFUTED_SUPPORT))
                continue
            hit, (start, end) = place
            offset = hit.chunk.start_index
            found = Evidence(hit, offset + start, offset + end, quoted, "", np.zeros(0, np.float32))
            judged = replace(judged, evidence=(*judged.evidence, found))
        return judged


@dataclass(slots=True)
class _Numbering:
    """Gives every span its number, in order of first use."""

    documents: Mapping[str, Document]
    citations: list[Citation] = field(default_factory=list)

    def number_of(self, evidence: Evidence) -> int:
        doc_id = evidence.hit.chunk.doc_id
        for citation in self.citations:
            span = (citation.doc_id, citation.start_index, citation.end_index)
            if span == (doc_id, evidence.start_index, evidence.end_index):
                return citation.number
        number = len(self.citations) + 1
        self.citations.append(
            cite_span(
                self.documents[doc_id],
                evidence.hit,
                number,
                evidence.start_index,
                evidence.end_index,
            )
        )
        return number
