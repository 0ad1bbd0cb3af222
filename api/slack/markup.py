"""Text as Slack marks it up (mrkdwn): escapes, links, and parts short enough for a block."""

from __future__ import annotations

import re
from typing import Final

_BULLET: Final = re.compile(r"^( *)[-*] ", re.MULTILINE)
_BOLD: Final = re.compile(r"\*\*(.+?)\*\*")

_KEPT_WHOLE: Final = tuple(
    map(
        re.compile,
        (r"<[^<>\n]*>", r"&\w+;", r"\[\d+\]", r"`[^`\n]*`", "「[^「」]*」", "『[^『』]*』"),
    )
)
"""Links, escapes, `[n]`, code, quotes."""

_BREAKS: Final = (
    re.compile(r"\n|[。！？](?![。！？」』）)\[<（])|\[\d+\]>?(?![\[<\n])"),
    re.compile(r"[、，；]|\s"),
    re.compile(r"(?s:.)"),
)
"""Where a text may be cut, the best kind first: behind a sentence with its `[n]`, then behind a
pause, then anywhere."""


def escape(text: str) -> str:
    """`& < >` as Slack wants them; nothing in the text can mention anyone or become a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markup_of(text: str) -> str:
    """Markdown of a statement, escaped: bullets are •, and `**bold**` loses its marks.

    Slack's own bold needs a space on both sides, which Japanese does not have.
    """
    return escape(_BULLET.sub(r"\1• ", _BOLD.sub(r"\1", text)))


def link(url: str | None, label: str) -> str:
    """A link, its label on one line; the label alone where there is no address."""
    shown = escape(" ".join(label.split()))
    return f"<{escape(url)}|{shown.replace('|', '｜')}>" if url else shown


def shorten(text: str, max_chars: int) -> str:
    """The text on one line, cut with … where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def split_text(text: str, max_chars: int) -> list[str]:
    """Parts of at most `max_chars` that together are the text.

    Cut behind 。 or a line break where there is one, never inside a link or an escape, and inside
    a quote only when that is longer than a part. An empty text gives no parts.
    """
    parts = []
    while len(text) > max_chars:
        cut = _best_cut(text, max_chars)
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text] if text else parts


def _best_cut(text: str, max_chars: int) -> int:
    inside = bytearray(2 * max_chars + 1)
    for kind in _KEPT_WHOLE:
        for found in kind.finditer(text, 0, 2 * max_chars):
            if len(found[0]) <= max_chars:
                inside[found.start() + 1 : found.end()] = b"\1" * (len(found[0]) - 1)
    for pattern in _BREAKS:
        # One character more than fits: what follows decides whether a sentence ends there.
        cuts = [found.end() for found in pattern.finditer(text, 0, max_chars + 1)]
        allowed = [cut for cut in cuts if 0 < cut <= max_chars and not inside[cut]]
        if allowed:
            return allowed[-1]
    return max_chars
