"""The notes → questions to begin with, each about something that a note has a heading for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final

from api.answering import Answering
from api.messages import (
    EXAMPLE_FORMS,
    EXAMPLE_FROM_TITLE,
    EXAMPLE_OF,
    HEADINGS_WITHOUT_SUBJECT,
    SHIPPED_EXAMPLES,
)
from rag.types import Document, Section

MAX_EXAMPLES: Final = 4
MIN_SHIPPED_EXAMPLES: Final = 3

_MARKS: Final = " \t\u3000#*_`■□◆◇●○〇◎▼▽★☆・•【】[]〈〉《》「」:：。.\r"
_NUMBERING: Final = re.compile(
    r"^(?:第[0-9一二三四五六七八九十]+[章節回部]|[(（]?[Q問]?[0-9]+(?:[-.][0-9]+)*(?:[.)）、．]|(?=\s)))\s*"
)
_IN_BRACKETS: Final = re.compile(r"[(（][^()（）]*[)）]")
_SENTENCE: Final = re.compile(r"[。、，！]|https?:|です|ます$|する$")
_MIN_SUBJECT_CHARS: Final = 2
_MAX_SUBJECT_CHARS: Final = 22


def examples_of(assistant: Answering) -> list[str]:
    """Questions for a first visit: of the notes that ship if these are they, else of headings."""
    documents = assistant.documents()
    ids = {document.doc_id for document in documents}
    shipped = [question for doc_id, question in SHIPPED_EXAMPLES if doc_id in ids]
    if len(shipped) >= MIN_SHIPPED_EXAMPLES:
        return shipped[:MAX_EXAMPLES]
    questions = [
        question_about(document, assistant.sections(document.doc_id))
        for document in spread(documents, MAX_EXAMPLES)
    ]
    return list(dict.fromkeys(questions))


def spread(documents: Sequence[Document], count: int) -> list[Document]:
    """At most `count` documents, taken evenly from first to last."""
    if len(documents) <= count:
        return list(documents)
    return [documents[at * len(documents) // count] for at in range(count)]


def question_about(document: Document, sections: Sequence[Section]) -> str:
    """A question that one of the note's headings answers; else one about the note as a whole."""
    subjects = list(_subjects(document, sections))
    for ending, form in EXAMPLE_FORMS:
        for subject, of in subjects:
            if re.search(ending, subject):
                return form.format(subject=subject, of=EXAMPLE_OF.format(whole=of) if of else "")
    return EXAMPLE_FROM_TITLE.format(title=document.title)


def _subjects(document: Document, sections: Sequence[Section]) -> Iterator[tuple[str, str]]:
    """The lowest headings, each with what it is a part of, so far as that has a name."""
    parents = {heading for section in sections for heading in section.headings[:-1]}
    for section in sections:
        *above, heading = section.headings or ("",)
        subject = _bare(heading)
        fits = _MIN_SUBJECT_CHARS <= len(subject) <= _MAX_SUBJECT_CHARS
        general = heading in parents or subject in {*HEADINGS_WITHOUT_SUBJECT, document.title}
        if fits and not general and not _SENTENCE.search(subject):
            whole = _IN_BRACKETS.sub("", _bare(above[-1]) if above else _title(document)).strip()
            yield subject, "" if whole in subject else whole


def _bare(heading: str) -> str:
    return _NUMBERING.sub("", heading.strip(_MARKS)).strip(_MARKS)


def _title(document: Document) -> str:
    """The note's title, unless it is but the name of its file."""
    named_by_file = document.title == PurePosixPath(document.doc_id).stem
    return "" if named_by_file else document.title
