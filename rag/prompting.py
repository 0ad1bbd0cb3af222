"""Stage 7: question + Hits → the messages an answer model gets, by one Jinja template.

Notes go in as data between marks that hold a random word: a note cannot know the word, so it can
neither close its own fence nor open another.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TypedDict

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rag.errors import ConfigError
from rag.types import Hit

NOT_FOUND = "ノートに見つかりません"
"""What the template asks a model to say when the notes do not hold the answer."""
MAX_STATEMENTS = 5
MAX_HISTORY = 5
_FENCE_MARKS = str.maketrans({"<": "‹", ">": "›"})


class Message(TypedDict):
    """One message of a chat: `role` is system or user."""

    role: str
    content: str


class PromptNote(TypedDict):
    """A hit as the template sees it."""

    number: int
    place: str
    text: str


@dataclass(frozen=True)
class Prompt:
    """A template: the one that ships, or the user's own file at `path`."""

    path: Path | None = None

    def messages(
        self, question: str, hits: Sequence[Hit], history: Sequence[str] = ()
    ) -> list[Message]:
        """Blocks `system` and `user` as messages; a template without blocks is one of the user's.

        Raises ConfigError when the user's template cannot be read or filled in.
        """
        try:
            template = self._template
            given = {
                "question": _fenced(question),
                "history": [_fenced(" ".join(turn.split())) for turn in history[-MAX_HISTORY:]],
                "notes": [_note_of(hit) for hit in hits],
                "nonce": secrets.token_hex(8),
                "max_statements": MAX_STATEMENTS,
            }
            if not template.blocks:
                return [{"role": "user", "content": template.render(given).strip()}]
            messages: list[Message] = []
            for role in ("system", "user"):
                if role in template.blocks:
                    block = template.blocks[role](template.new_context(given))
                    messages.append({"role": role, "content": "".join(block).strip()})
            return messages
        except (OSError, UnicodeDecodeError, TemplateError) as error:
            raise ConfigError(f"prompt = {self.path}: {error}; correct the template") from error

    @cached_property
    def _template(self) -> Template:
        packaged = resources.files("rag").joinpath("prompts", "answer.ja.j2")
        source = (self.path or packaged).read_text(encoding="utf-8")
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        return environment.from_string(source)


def _note_of(hit: Hit) -> PromptNote:
    place = " ".join(hit.chunk.breadcrumb.split())
    return {"number": hit.rank, "place": _fenced(place), "text": _fenced(hit.chunk.text)}


def _fenced(text: str) -> str:
    """Nothing in it looks like a fence: `<<<` and `>>>` become other characters."""
    for mark in ("<<<", ">>>"):
        text = text.replace(mark, mark.translate(_FENCE_MARKS))
    return "".join(char for char in text if char.isprintable() or char.isspace())
