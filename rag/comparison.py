"""Stage 6: 「AとBの違いは？」 → its two sides, and hits for both of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from rag.aliases import Aliases
from rag.text import normalize_for_search
from rag.types import Hit, SearchResult

MAX_SUBJECT_CHARS = 40
SIDE_HITS = 3
_DIFFER = (
    "(?:違い|ちがい|違う|違って|ちがう|差|比較|比べ|くらべ|使い分け|使いわけ|区別|どっち|どちら)"
)
_ASKED = "(?:の|は|では|って|、|を|で|が|どう|何|なに)"
_COMPARISONS = (
    re.compile(
        "(?P<one>[^と]+?)(?:って|は)(?P<other>[^と、]+?)と(?:は|何が|なにが|どう|どこが)+" + _DIFFER
    ),
    re.compile(f"(?P<one>.+?)と(?P<other>.+?){_ASKED}[^と]{{0,8}}?{_DIFFER}"),
    re.compile(f"(?P<one>.+?)と(?P<other>.+?)と?{_DIFFER}"),
    re.compile(r"(?P<one>.+?)\s*(?:[vV][sS]\.?|対|か、?それとも)\s*(?P<other>[^?？。、]+)"),
)
_LEAD = re.compile(r".*[。、，,\n]|^(?:じゃあ|それじゃ|では|なら|あと|結局|そもそも|ところで)")
_TAIL = re.compile(r"(?:の|は|では|って|を|が|で|と|、|\s|[?？。])+$")
_ASKING = frozenset({"何", "なに", "どう", "どこ", "それ", "これ"})


def compared_subjects(question: str) -> tuple[str, ...]:
    """The two things the question compares, as written; nothing when it compares none."""
    for pattern in _COMPARISONS:
        found = pattern.search(question)
        if found:
            one = _TAIL.sub("", _LEAD.sub("", _LEAD.sub("", found["one"]))).strip()
            other = _TAIL.sub("", found["other"]).strip()
            short = max(len(one), len(other)) <= MAX_SUBJECT_CHARS
            if one and other and short and not {one, other} & _ASKING:
                return one, other
    return ()


def names_subject(text: str, subject: str, aliases: Aliases) -> bool:
    """The text names the subject, by this or another of its names."""
    folded = normalize_for_search(text)
    names = (subject, *aliases.expansions(subject))
    return any(normalize_for_search(name) in folded for name in names)


def with_both_sides(
    result: SearchResult,
    subjects: Sequence[str],
    aliases: Aliases,
    search: Callable[[str], SearchResult],
) -> SearchResult:
    """The result with hits of each side that it does not name yet, in place of the last ones."""
    hits = list(result.hits)
    added: list[Hit] = []
    for subject in subjects:
        if any(names_subject(_whole_text(hit), subject, aliases) for hit in hits):
            continue
        known = {hit.chunk.chunk_id for hit in (*hits, *added)}
        found = search(subject).hits
        named = [
            hit
            for hit in found
            if hit.chunk.chunk_id not in known and names_subject(_whole_text(hit), subject, aliases)
        ]
        added.extend(named[: SIDE_HITS - 1])
    if not added:
        return result
    kept = hits[: max(len(hits) - len(added), 1)]
    merged = [*kept, *added][: len(hits)]
    lowest = min(hit.score for hit in kept)
    return replace(
        result,
        hits=tuple(
            replace(hit, rank=rank, score=min(hit.score, lowest) if hit in added else hit.score)
            for rank, hit in enumerate(merged, start=1)
        ),
    )


def _whole_text(hit: Hit) -> str:
    return f"{hit.chunk.breadcrumb}\n{hit.chunk.text}"
