"""A cited answer → messages of Slack's Block Kit, each within Slack's limits.

The statements with their `[n]` come first, then the cited places with the words they hold, then
the buttons for a verdict.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from api.answer_text import NEAREST_HITS, lines_of
from api.messages import NEAREST_NOTES, PAGE_TEXTS, REFUSED, SLACK_TEXTS, SOURCES
from api.slack.markup import escape, link, markup_of, shorten, split_text
from rag.citations import cite_chunk
from rag.presenting import UNCONFIRMED, fallback_notice
from rag.support import CONFIRMED_SUPPORT
from rag.types import Answer, Citation, Statement

MAX_SECTION_CHARS: Final = 3000
MAX_MESSAGE_CHARS: Final = 13_200
"""Over all blocks of a message, their JSON counted: what Slack itself counts is not documented.

Messages were refused from about here on: https://github.com/slackapi/bolt-js/issues/2509
"""
MAX_BLOCKS: Final = 50
MAX_SOURCES: Final = 5
MAX_QUOTE_CHARS: Final = 120
MAX_PLACE_CHARS: Final = 200
VERDICT_ACTION: Final = "kotae_verdict"

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """Blocks, and the text shown where blocks are not, such as in a notification."""

    text: str
    blocks: tuple[Block, ...] = ()


def text_message(text: str) -> SlackMessage:
    """A message of the program's own words."""
    return SlackMessage(text, (_section(text),))


def answer_messages(answer: Answer, public_url: str | None) -> list[SlackMessage]:
    """The answer, in one message if it fits; with a `public_url`, cited places are links."""
    write = _refusal_blocks if answer.refused else _cited_blocks
    text = REFUSED if answer.refused else _statements_text(answer, None)
    notice = fallback_notice(answer)
    opening = [_context(escape(notice))] if notice else []
    groups = _pack([*opening, *write(answer, public_url), _verdict_block(answer.answer_id)])
    return [SlackMessage(split_text(text, MAX_SECTION_CHARS)[0], group) for group in groups]


def partial_message(text: str) -> SlackMessage:
    """What an answer model has written so far; its citations are not checked yet."""
    shown = split_text(markup_of(text), MAX_SECTION_CHARS - len(SLACK_TEXTS["writing"]) - 1)
    if not shown:
        return text_message(SLACK_TEXTS["searching"])
    return text_message(f"{shown[0]}\n{SLACK_TEXTS['writing']}")


def _cited_blocks(answer: Answer, public_url: str | None) -> Iterator[Block]:
    for part in split_text(_statements_text(answer, public_url), MAX_SECTION_CHARS):
        if shown := part.strip():
            yield _section(shown)
    if not all(map(_confirmed, answer.statements)):
        yield _context(PAGE_TEXTS["unconfirmed_notice"])
    if answer.citations:
        yield _context(f"*{SOURCES}*")
    for cited in answer.citations[:MAX_SOURCES]:
        yield _context(_source_text(cited, public_url, f"[{cited.number}] "))
    more = len(answer.citations) - MAX_SOURCES
    if more > 0:
        yield _context(SLACK_TEXTS["more_sources"].format(count=more))


def _refusal_blocks(answer: Answer, public_url: str | None) -> Iterator[Block]:
    yield _section(f"{REFUSED}\n{PAGE_TEXTS['advice']}")
    if answer.hits:
        yield _context(NEAREST_NOTES)
    for hit in answer.hits[:NEAREST_HITS]:
        yield _context(_source_text(cite_chunk(hit.chunk, hit.rank), public_url, "• "))


def _statements_text(answer: Answer, public_url: str | None) -> str:
    """One line a statement, each `[n]` a link to the words it stands for."""
    urls = {cited.number: _url(cited, public_url) for cited in answer.citations}
    return "\n".join(_statement_text(statement, urls) for statement in answer.statements)


def _statement_text(statement: Statement, urls: dict[int, str | None]) -> str:
    marks = "".join(link(urls.get(n), f"[{n}]") for n in statement.citation_numbers)
    text = markup_of(statement.text)
    return text + marks if _confirmed(statement) else f"⚠️ {text}{UNCONFIRMED}{marks}"


def _confirmed(statement: Statement) -> bool:
    return statement.support >= CONFIRMED_SUPPORT


def _source_text(cited: Citation, public_url: str | None, lead: str) -> str:
    place = " › ".join(part for part in (cited.title, *cited.headings) if part)
    where = "" if public_url else f"（{escape(cited.doc_id)} {lines_of(cited)}）"
    quote = SLACK_TEXTS["quote"].format(quote=escape(shorten(cited.quote, MAX_QUOTE_CHARS)))
    named = link(_url(cited, public_url), shorten(place, MAX_PLACE_CHARS))
    return f"{lead}{named}{where}\n{quote}"


def _url(cited: Citation, public_url: str | None) -> str | None:
    return public_url + cited.url if public_url else None


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text)}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [_mrkdwn(text)]}


def _mrkdwn(text: str) -> Block:
    # Verbatim: an address or a name in a note stays text.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _verdict_block(answer_id: str) -> Block:
    def button(verdict: str) -> Block:
        return {
            "text": {"type": "plain_text", "text": SLACK_TEXTS[verdict], "emoji": True},
            "accessibility_label": SLACK_TEXTS[f"{verdict}_label"],
            "value": f"{verdict}:{answer_id}",
        }

    buttons = {
        "type": "feedback_buttons",
        "action_id": VERDICT_ACTION,
        "positive_button": button("good"),
        "negative_button": button("bad"),
    }
    return {"type": "context_actions", "elements": [buttons]}


def _pack(blocks: Iterable[Block]) -> list[tuple[Block, ...]]:
    """The blocks in order, in as few messages as the limits allow."""
    groups: list[list[Block]] = [[]]
    room = MAX_MESSAGE_CHARS
    for block in blocks:
        size = len(json.dumps(block, ensure_ascii=False))
        if groups[-1] and (size > room or len(groups[-1]) == MAX_BLOCKS):
            groups.append([])
            room = MAX_MESSAGE_CHARS
        groups[-1].append(block)
        room -= size
    return [tuple(group) for group in groups]
