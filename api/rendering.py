"""Markdown and HTML of notes and answers → sanitised HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from typing import Final

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.reference import reference
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from api.emphasis import tokenize_emphasis
from api.row_tables import RowTable, tables_of

LINE_ATTRIBUTE: Final = "data-line"
"""Names the line of the note that a block starts on; the page scrolls to it."""

_BLOCK_TAGS: Final = {
    *("p", "div", "section", "article", "blockquote", "pre", "hr", "br", "details", "summary"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "figure", "figcaption"),
}
_INLINE_TAGS: Final = {
    *("a", "b", "strong", "i", "em", "s", "del", "ins", "u", "code", "kbd", "samp", "var"),
    *("q", "cite", "sub", "sup", "small", "span", "abbr", "ruby", "rb", "rt", "rp", "wbr", "time"),
}
_BLOCK_TAG: Final = re.compile(r"<(?:h[1-6]|p|li|tr|dt|dd|pre|blockquote)(?=[\s>])", re.IGNORECASE)
_CLEANER: Final = nh3.Cleaner(
    tags=_BLOCK_TAGS | _INLINE_TAGS,
    clean_content_tags={"script", "style", "title", "template", "noscript", "iframe", "svg"},
    attributes={
        "*": {LINE_ATTRIBUTE},
        "a": {"href"},
        "ol": {"start"},
        "td": {"colspan", "rowspan", "align"},
        "th": {"colspan", "rowspan", "align", "scope"},
    },
    tag_attribute_values={"span": {"class": {"picture"}}, "p": {"class": {"lead"}}},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    url_schemes={"http", "https", "mailto"},
    link_rel="noopener noreferrer nofollow",
    strip_comments=True,
)


def sanitize(unsafe: str) -> str:
    """The same HTML with nothing that runs, loads or styles."""
    return _CLEANER.clean(unsafe)


def render_statement(text: str, places: Sequence[Sequence[str]] = ()) -> str:
    """A statement of an answer, Markdown, as safe HTML; HTML in it is shown as text.

    Where it opens with headings of the cited `places`, these become a line of their own.
    """
    lead, rest = _split_lead(text.strip(), places)
    head = f'<p class="lead">{html.escape(lead)}</p>' if lead else ""
    body = "".join(
        _render_table(part) if isinstance(part, RowTable) else _ANSWER_MARKDOWN.render(part)
        for part in tables_of(rest)
    )
    return sanitize(head + body).strip()


def _render_table(table: RowTable) -> str:
    inline = _ANSWER_MARKDOWN.renderInline
    head = "".join(f'<th scope="col">{inline(column)}</th>' for column in table.columns)
    rows = "".join(
        f'<tr><th scope="row">{inline(name)}</th>'
        + "".join(f"<td>{inline(value)}</td>" for value in values)
        + "</tr>"
        for name, values in table.rows
    )
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _split_lead(text: str, places: Sequence[Sequence[str]]) -> tuple[str, str]:
    lead, colon, rest = text.partition("：")
    named = lead.split(" › ")
    # Behind the headings may stand the bullet that owns what was cited.
    is_lead = any(
        named[0] in headings and (len(named) > 1 or lead in headings) for headings in places
    )
    return (lead, rest) if colon and rest and is_lead else ("", text)


def render_markdown(text: str, first_line: int = 1) -> str:
    """A Markdown note as safe HTML; its first line is line `first_line` of the file."""
    return sanitize(_NOTE_MARKDOWN.render(text, {"first_line": first_line}))


def render_html(text: str) -> str:
    """An HTML note as safe HTML."""
    numbered = []
    line, before = 1, 0
    for found in _BLOCK_TAG.finditer(text):
        line += text.count("\n", before, found.end())
        numbered += [text[before : found.end()], f' {LINE_ATTRIBUTE}="{line}"']
        before = found.end()
    return sanitize("".join([*numbered, text[before:]]))


def code_spans(text: str) -> list[tuple[int, int]]:
    """Where a Markdown note is literal code, by character; the fences themselves are left out."""
    starts = [0, *(found.end() for found in re.finditer(r"\r\n?|\n", text)), len(text)]
    spans = []
    for token in _NOTE_MARKDOWN.parse(text):
        if token.map is not None and token.type in ("code_block", "fence"):
            first, last = token.map
            if token.type == "fence":
                first += 1
                closing = text[starts[last - 1] : starts[last]].strip()
                last -= closing.endswith(token.markup) and not closing.strip(token.markup[0])
            spans.append((starts[first], starts[last]))
    return spans


def text_of(safe_html: str) -> str:
    """What a reader sees of sanitised HTML."""
    return html.unescape(TAG.sub("", safe_html))


TAG: Final = re.compile(r"""<(?:[^<>"']|"[^"]*"|'[^']*')*>""")
"""A tag in sanitised HTML, whose attribute values are quoted and whose text holds no `<`."""


def _image_as_text(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: EnvType,
) -> str:
    # Pictures lie on other hosts or outside the notes; their caption is what can be shown.
    caption = renderer.renderInlineAsText(tokens[index].children, options, env)
    return f'<span class="picture">{html.escape(caption)}</span>'


def _reference_unless_footnote(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    # CommonMark takes `[^1]: …` for a link definition and would hide the footnote.
    position = state.bMarks[start] + state.tShift[start]
    if state.src.startswith("[^", position):
        return False
    return reference(state, start, end, silent)


def _number_lines(state: StateCore) -> None:
    first_line = state.env.get("first_line", 1)
    for token in state.tokens:
        if token.map is not None and token.nesting >= 0 and token.type != "inline":
            token.attrSet(LINE_ATTRIBUTE, str(token.map[0] + first_line))


def _markdown(with_html: bool) -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": with_html}).enable(["table", "strikethrough"])
    markdown.block.ruler.at("reference", _reference_unless_footnote)
    markdown.inline.ruler.at("emphasis", tokenize_emphasis)
    markdown.add_render_rule("image", _image_as_text)
    return markdown


_ANSWER_MARKDOWN: Final = _markdown(with_html=False)
_NOTE_MARKDOWN: Final = _markdown(with_html=True)
_NOTE_MARKDOWN.core.ruler.push("number_lines", _number_lines)

Renderer = Callable[[str], str]
