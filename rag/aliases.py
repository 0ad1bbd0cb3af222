"""Names that mean the same: SSM = Systems Manager = システムズマネージャー; users add their own.

Three sources are read together: the dictionary that ships, `aliases.toml` in the notes' folder,
and the `aliases` of each note's front matter (other names of its title).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rag.errors import ConfigError
from rag.text import normalize_for_search
from rag.types import Document

CORPUS_ALIASES = "aliases.toml"


@dataclass(frozen=True, slots=True)
class Aliases:
    """Groups of equivalent names; a name may be in several groups."""

    groups: tuple[tuple[str, ...], ...]

    def expansions(self, question: str) -> list[str]:
        """Other names of what the question names, in the dictionary's order, none twice."""
        folded = normalize_for_search(question)
        found: dict[str, None] = {}
        for group in self.groups:
            named = [name for name in group if _stands_in(normalize_for_search(name), folded)]
            if named:
                found.update(dict.fromkeys(n for n in group if n not in named))
        return [name for name in found if normalize_for_search(name) not in folded]


def load_aliases(documents: Iterable[Document], corpus: Path | None) -> Aliases:
    """All groups; raises ConfigError when an aliases.toml is not of its form."""
    packaged = resources.files("rag").joinpath("data", CORPUS_ALIASES).read_text(encoding="utf-8")
    groups = list(_read(packaged, f"rag/data/{CORPUS_ALIASES}"))
    if corpus is not None and (path := corpus / CORPUS_ALIASES).is_file():
        groups.extend(_read(path.read_text(encoding="utf-8"), str(path)))
    groups.extend((doc.title, *doc.aliases) for doc in documents if doc.aliases)
    return Aliases(tuple(dict.fromkeys(groups)))


def _read(text: str, path: str) -> Iterable[tuple[str, ...]]:
    """`"Systems Manager" = ["SSM", …]`, one group a line."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f'{path}: {error}; a line is like "VPC" = ["仮想ネットワーク"]'
        ) from error
    for name, others in values.items():
        if not isinstance(others, Sequence) or not all(isinstance(o, str) for o in others):
            raise ConfigError(f"{path}: {name} = {others!r} must be a list of names in quotes")
        yield (name, *([others] if isinstance(others, str) else others))


def _stands_in(name: str, text: str) -> bool:
    """A Latin name only as a whole word: `EB` is not in `EBS`; Japanese anywhere."""
    if not name:
        return False
    left = r"(?<![a-z0-9])" if name[0].isascii() else ""
    right = r"(?![a-z0-9])" if name[-1].isascii() else ""
    return re.search(left + re.escape(name) + right, text) is not None
