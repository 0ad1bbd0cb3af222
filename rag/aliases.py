"""Names that mean the same: SSM = Systems Manager = システムズマネージャー; users add their own.

Three sources are read together: the dictionary that ships, `aliases.toml` in the notes' folder,
and the `aliases` of each note's front matter (other names of its title).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

from rag.errors import ConfigError
from rag.text import normalize_for_search, words
from rag.types import Document

CORPUS_ALIASES = "aliases.toml"


@dataclass(frozen=True, slots=True)
class Name:
    """One name and how it is compared."""

    text: str
    folded: str

    def stands_in(self, folded_text: str) -> bool:
        """A Latin name only as a whole word: `EB` is not in `EBS`; Japanese anywhere."""
        start = folded_text.find(self.folded)
        while start >= 0:
            end = start + len(self.folded)
            if not (
                _continues_word(self.folded[0], folded_text[start - 1 : start])
                or _continues_word(self.folded[-1], folded_text[end : end + 1])
            ):
                return True
            start = folded_text.find(self.folded, start + 1)
        return False


@dataclass(frozen=True)
class Aliases:
    """Groups of equivalent names; a name may be in several groups."""

    groups: tuple[tuple[Name, ...], ...]

    @classmethod
    def of(cls, groups: Iterable[Sequence[str]]) -> Aliases:
        """Groups of names as written; empty names and repeated groups are left out."""
        named = (
            tuple(Name(n, f) for n in group if (f := normalize_for_search(n).strip()))
            for group in groups
        )
        return cls(tuple(dict.fromkeys(group for group in named if len(group) > 1)))

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of all names, as they are searched for."""
        return frozenset(
            word for group in self.groups for name in group for word in words(name.text)
        )

    def expansions(self, question: str) -> list[str]:
        """Other names of what the question names, in the dictionary's order, none twice."""
        folded = normalize_for_search(question)
        found: dict[str, None] = {}
        for group in self.groups:
            # Hardly any name occurs: looking for the characters alone is quick.
            named = [name.folded in folded and name.stands_in(folded) for name in group]
            if any(named):
                others = zip(group, named, strict=True)
                found.update({name.text: None for name, stands in others if not stands})
        return list(found)


def load_aliases(documents: Iterable[Document], corpus: Path | None) -> Aliases:
    """All groups; raises ConfigError when an aliases.toml is not of its form."""
    packaged = resources.files("rag").joinpath("data", CORPUS_ALIASES).read_text(encoding="utf-8")
    groups: list[Sequence[str]] = list(_read(packaged, f"rag/data/{CORPUS_ALIASES}"))
    if corpus is not None and (path := corpus / CORPUS_ALIASES).is_file():
        groups.extend(_read(_text_of(path), str(path)))
    groups.extend((doc.title, *doc.aliases) for doc in documents if doc.aliases)
    return Aliases.of(groups)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}; save it as UTF-8, readable to you") from error


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


def _continues_word(edge: str, neighbour: str) -> bool:
    return all(char.isascii() and char.isalnum() for char in edge + (neighbour or " "))
