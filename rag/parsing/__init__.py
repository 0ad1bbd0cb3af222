"""Stage 2: Document → Sections with heading paths, for Markdown, loose plain text and HTML."""

from __future__ import annotations

from rag.loading import front_matter_end
from rag.parsing.html import split_html_lines
from rag.parsing.sections import build_sections
from rag.parsing.splitting import split_lines
from rag.types import Document, Section

__all__ = ["parse_document"]


def parse_document(document: Document) -> tuple[Section, ...]:
    """Sections in the note's order; front matter and white space lie outside them."""
    if document.doc_id.lower().endswith((".html", ".htm")):
        return build_sections(document, split_html_lines(document.text))
    lines = split_lines(document.text, front_matter_end(document.text))
    return build_sections(document, lines)
