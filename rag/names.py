"""Stage 6: names in a question that stand nowhere in the notes, not even misspelt.

A note that never names SageMaker does not say what it costs, however near its words are.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from rag.aliases import Aliases
from rag.snapshot import Snapshot
from rag.text import LATIN_WORD

CLOSE = 0.75
"""difflib's ratio from which a word counts as the other one misspelt."""
MAX_LENGTH_DIFFERENCE = 2


def unknown_names(terms: Iterable[str], snapshot: Snapshot, aliases: Aliases) -> list[str]:
    """Those of a question's words that are Latin names known neither to notes nor to aliases."""
    names = [term for term in dict.fromkeys(terms) if LATIN_WORD.fullmatch(term)]
    return [
        name
        for name in names
        if not snapshot.words.document_frequency(name)
        and name not in aliases.words
        and not _is_misspelt(name, snapshot.latin_words)
    ]


def _is_misspelt(name: str, known: Iterable[str]) -> bool:
    near = [
        word
        for word in known
        if abs(len(word) - len(name)) <= MAX_LENGTH_DIFFERENCE
        and (word[0] == name[0] or word[-1] == name[-1])
    ]
    return bool(difflib.get_close_matches(name, near, 1, CLOSE))
