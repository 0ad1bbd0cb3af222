"""Stage 8: what an answer model wrote → its statements, each with the note numbers it names; pure.

A model may write anything: mark-up that would run or load something does not come through here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag.prompting import NOT_FOUND
from rag.text import plain_text, sentence_spans

MAX_PASSES = 5
_MARK = re.compile(r"\s*[\[［【](\d{1,4}(?:\s*[,、，]\s*[\[［]?\d{1,4}[\]］]?)*)[\]］】](?!\()")
_LEADING_MARKS = re.compile(rf"(?:{_MARK.pattern})+")
_HEADING = re.compile(r"\s*#{1,6}\s")
_SOURCES = re.compile(
    r"[\s#*【]*(?:出典|参考|引用元?|ソース|参照|Sources?|References?)[\s*】:：]*$", re.I
)
_IMAGE = re.compile(r"!\[[^\]\n]*\]\([^)\n]*\)")
_RUNNING = re.compile(
    r"</?(?:script|style|iframe|svg|math|object|embed|template|noscript|base|link|meta)\b[^<>]*>",
    re.I,
)
"""Tags that a note's own text may speak of, but no answer needs."""
_ONLY_SYMBOLS = re.compile(r"[\W_]*$")
_REFUSAL_CHARS = 60


@dataclass(frozen=True, slots=True)
class Draft:
    """One statement as a model wrote it: plain text, and the numbers behind it in order."""

    text: str
    numbers: tuple[int, ...]


def is_refusal(text: str) -> bool:
    """The model says that the notes do not hold the answer, and nothing else."""
    said = text.strip().strip("「」。.")
    return NOT_FOUND in said and len(said) <= _REFUSAL_CHARS


def split_drafts(text: str) -> list[Draft]:
    """The statements in order: sentences and bullets, without headings and lists of sources."""
    drafts: list[Draft] = []
    for line in _readable_lines(text):
        if _SOURCES.match(line):
            break
        for piece, numbers in _pieces(line):
            if not _ONLY_SYMBOLS.match(piece):
                drafts.append(Draft(piece, numbers))
            elif drafts:
                drafts[-1] = Draft(drafts[-1].text, _merge(drafts[-1].numbers, numbers))
    return drafts


def _readable_lines(text: str) -> Iterator[str]:
    """Lines without headings and mark-up; what removing a tag brings together is removed too."""
    body = "\n".join(line for line in text.splitlines() if not _HEADING.match(line))
    for _ in range(MAX_PASSES):
        plain = plain_text(_RUNNING.sub("", _IMAGE.sub("", body)))
        if plain == body:
            break
        body = plain
    return filter(None, map(str.strip, body.splitlines()))


def _pieces(line: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(sentence, numbers): marks behind a full stop belong to the sentence before them."""
    sentences = [line[start:end] for start, end in sentence_spans(line)]
    for number, sentence in enumerate(sentences):
        led = _LEADING_MARKS.match(sentence)
        if led and number:
            yield "", _numbers(led.group())
            sentence = sentence[led.end() :]
        yield " ".join(_MARK.sub("", sentence).split()), _numbers(sentence)


def _numbers(text: str) -> tuple[int, ...]:
    found = (int(n) for mark in _MARK.finditer(text) for n in re.findall(r"\d+", mark.group()))
    return tuple(dict.fromkeys(found))


def _merge(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys((*first, *second)))
