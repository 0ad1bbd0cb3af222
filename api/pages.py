"""The pages for a reader: the chat, and a note with a span highlighted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, cast

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from api.answering import Answering, CurrentAssistant, Readiness
from api.examples import examples_of
from api.messages import MODEL_NAMES, PAGE_TEXTS, status_and_message
from api.note_view import view_note
from api.schemas import line_numbers
from api.templating import render_page
from rag.citations import find_again
from rag.config import Settings
from rag.errors import RagError
from rag.types import Document, Section

TAGS_AT_HAND: Final = 3
"""More tags than these are folded away."""

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/notes/{doc_id:path}")
def note_page(
    doc_id: str,
    assistant: CurrentAssistant,
    start: Annotated[int, Query(ge=0)] = 0,
    end: Annotated[int, Query(ge=0)] = 0,
    check: Annotated[str, Query(pattern="^[0-9a-f]{8}$")] | None = None,
) -> str:
    """The note with `text[start:end]` highlighted and scrolled to.

    Where the note has changed since a link with a `check` was made, the same words are looked for.
    """
    document = assistant.document(doc_id)
    found = find_again(document.text, start, end, int(check, 16)) if check else (start, end)
    sections = assistant.sections(document.doc_id)
    return render_page(
        "note.html",
        document=document,
        headings=headings_of(document, sections),
        view=(view := view_note(document, sections, *(found or (0, 0)))),
        lost=found is None,
        body=Markup(view.body),  # sanitised by view_note
        page_data={"texts": PAGE_TEXTS},
    )


def headings_of(document: Document, sections: Sequence[Section]) -> list[dict[str, object]]:
    """The note's table of contents: heading, depth from 1, line."""
    lines = line_numbers(document.text, [section.start_index for section in sections])
    contents: list[dict[str, object]] = []
    path: tuple[str, ...] = ()
    for section, line in zip(sections, lines, strict=True):
        same = _shared(path, section.headings)
        if same == len(section.headings) < len(path):
            same -= 1  # back from a lower heading to one that was named before
        for depth, heading in enumerate(section.headings[same:], same + 1):
            contents.append({"text": heading, "depth": depth, "line": line})
        path = section.headings
    return contents


def _shared(path: tuple[str, ...], other: tuple[str, ...]) -> int:
    pairs = zip(path, other, strict=False)
    return next(
        (at for at, pair in enumerate(pairs) if pair[0] != pair[1]), min(len(path), len(other))
    )


@router.get("/")
def chat_page(request: Request) -> str:
    """The chat; while index and model are being opened it says so and waits."""
    settings = cast(Settings, request.app.state.settings)
    readiness = cast(Readiness, request.app.state.readiness)
    message = ""
    assistant: Answering | None = None
    try:
        assistant = readiness.assistant
    except RagError as error:
        message = status_and_message(error.code)[1]
    models = assistant.models if assistant else ()
    return render_page(
        "chat.html",
        ready=assistant is not None,
        signed_in=request.state.visitor is not None,
        not_ready_message=message,
        tags=assistant.tags if assistant else (),
        models=models,
        model_names=MODEL_NAMES,
        examples=examples_of(assistant) if assistant else (),
        document_count=len(assistant.documents()) if assistant else 0,
        tags_at_hand=TAGS_AT_HAND,
        max_question_chars=settings.max_question_chars,
        page_data={
            "texts": PAGE_TEXTS,
            "ready": assistant is not None,
            "models": models,
            "model_names": MODEL_NAMES,
        },
    )
