"""A note, and perhaps a span of it → what the note's page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from api.highlighting import Source, highlight, html_source, mark_text, markdown_source
from api.rendering import LINE_ATTRIBUTE, TAG, Renderer, render_html, render_markdown, text_of
from rag.loading import front_matter_end
from rag.types import Document, Section

MAX_RENDERED_CHARS: Final = 300_000
"""A longer note is shown as lines, and only this much of it around the span."""

_LINE: Final = re.compile(rf' {LINE_ATTRIBUTE}="(\d+)"')
_HEADING_MARKS: Final = " \t\u3000#*_■□◆◇●○〇◎▼▽★☆・•【】[]〈〉《》:：\r"


@dataclass(frozen=True, slots=True)
class NoteView:
    """A note ready for its page; `truncated` when only a part of it is shown."""

    body: str
    shows_title: bool = False
    truncated: bool = False


def view_note(document: Document, sections: Sequence[Section], start: int, end: int) -> NoteView:
    """The note as safe HTML with `text[start:end]` marked; an empty span marks nothing."""
    start, end = max(start, 0), min(end, len(document.text))
    view = _view_whole(document, sections, start, end)
    return replace(view, body=_with_anchors(view.body))


def _view_whole(document: Document, sections: Sequence[Section], start: int, end: int) -> NoteView:
    if len(document.text) > MAX_RENDERED_CHARS:
        return _view_part(document.text, start, end)
    suffix = document.doc_id.rsplit(".", 1)[-1].lower()
    if suffix in ("md", "markdown"):
        return _view_markdown(document, start, end)
    if suffix in ("html", "htm"):
        body = _rendered(html_source(document.text), start, end, render_html)
        return _view(document, body or _lines(document.text, start, end))
    return NoteView(_lines(document.text, start, end, _heading_levels(document, sections)))


def _view_markdown(document: Document, start: int, end: int) -> NoteView:
    skipped = front_matter_end(document.text)
    first_line = document.text.count("\n", 0, skipped) + 1
    source = markdown_source(document.text[skipped:])

    def render(text: str) -> str:
        return render_markdown(text, first_line)

    body = _rendered(source, max(start - skipped, 0), end - skipped, render)
    return _view(document, body or _lines(document.text, start, end))


def _rendered(source: Source, start: int, end: int, render: Renderer) -> str | None:
    return highlight(source, start, end, render) if start < end else render(source.text)


def _with_anchors(body: str) -> str:
    """The first block of each line can be linked to as `#L12`."""
    named: set[str] = set()

    def name(found: re.Match[str]) -> str:
        tag = found.group()
        line = _LINE.search(tag)
        if line is None or line.group(1) in named:
            return tag
        named.add(line.group(1))
        return tag.replace(line.group(), f' id="L{line.group(1)}"{line.group()}', 1)

    return TAG.sub(name, body)


def _view(document: Document, body: str) -> NoteView:
    first = re.match(r"\s*<h1\b[^>]*>(.*?)</h1>", body, re.S)
    shows_title = first is not None and text_of(first.group(1)).strip() == document.title.strip()
    return NoteView(body, shows_title)


def _view_part(text: str, start: int, end: int) -> NoteView:
    middle = (start + min(end, start + MAX_RENDERED_CHARS)) // 2 if start < end else 0
    first = max(middle - MAX_RENDERED_CHARS // 2, 0)
    first = text.rfind("\n", max(first - 2000, 0), first) + 1 or first
    last = min(first + MAX_RENDERED_CHARS, len(text))
    first_line = text.count("\n", 0, first) + 1
    body = _lines(text[first:last], start - first, end - first, first_line=first_line)
    return NoteView(body, shows_title=False, truncated=True)


def _lines(
    text: str,
    start: int,
    end: int,
    heading_levels: dict[int, int] | None = None,
    first_line: int = 1,
) -> str:
    """Text as the author broke it, line by line; lines that are headings become such."""
    levels = heading_levels or {}
    rendered = []
    for number, at, line in _numbered(text, first_line):
        level = levels.get(number)
        name = f"h{level}" if level else "p"
        inside = mark_text(line, start - at, end - at)
        rendered.append(f'<{name} {LINE_ATTRIBUTE}="{number}">{inside}</{name}>')
    return f'<div class="lines">{"".join(rendered)}</div>'


def _numbered(text: str, first_line: int) -> Iterator[tuple[int, int, str]]:
    at = 0
    for number, line in enumerate(text.split("\n"), first_line):
        yield number, at, line.removesuffix("\r")
        at += len(line) + 1


def _heading_levels(document: Document, sections: Sequence[Section]) -> dict[int, int]:
    """Line → heading level, for sections that begin with the line that names them."""
    levels = {}
    for section in sections:
        text = document.text[section.start_index : section.end_index]
        begins = section.start_index + len(text) - len(text.lstrip())
        line = document.text[begins:].split("\n", 1)[0] if section.headings else ""
        if line and line.strip(_HEADING_MARKS) == section.headings[-1].strip(_HEADING_MARKS):
            number = document.text.count("\n", 0, begins) + 1
            levels[number] = min(len(section.headings) + 1, 6)
    return levels
