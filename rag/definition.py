"""Stage 7: 「Aとは？」 → what is asked for, and whether a text says what it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.aliases import Aliases
from rag.text import normalize_for_search

MAX_SUBJECT_CHARS = 40
_ASKED = re.compile(
    r"(?:じゃあ|では|で|、|\s)*(?P<subject>[^、。?]+?)\s*"
    r"(?:とは(?:何|なに|どんな|どういう|\W*$)|って\W*$|(?:って|は|とは)、?(?:何|なに|何者|一体)"
    r"(?:か|だ|です|の|なの|のこと|ですか|でしょうか)*\W*$"
    r"|(?:って|は|とは)、?(?:どんな|どういう)(?:もの|サービス|機能|仕組み|意味|こと))"
)
_BEFORE = "[^、。はが]{0,12}?"
"""So much may stand before the subject's name: the maker's, the whole it is part of."""
_DEFINED = r"\s*(?:\([^()]*\)\s*)?(?:とは|は|って|:)"


def defined_subject(question: str) -> str:
    """What the question wants defined, in lower case; empty when it asks for something else."""
    found = _ASKED.match(normalize_for_search(question))
    subject = found["subject"] if found else ""
    return subject if len(subject) <= MAX_SUBJECT_CHARS else ""


def defines_subject(text: str, subjects: Sequence[str], aliases: Aliases) -> bool:
    """The text begins with what one of the subjects is, by any of its names: 「Aは…」."""
    folded = normalize_for_search(text)
    return any(
        re.match(rf"{_BEFORE}{re.escape(name)}{_DEFINED}", folded)
        for subject in filter(None, subjects)
        for name in map(normalize_for_search, (subject, *aliases.expansions(subject)))
    )
