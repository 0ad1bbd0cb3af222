"""What the Slack bot says, block by block: limits, escapes, links, cuts."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.messages import SOURCES
from api.slack.blocks import (
    MAX_BLOCKS,
    MAX_MESSAGE_CHARS,
    MAX_QUOTE_CHARS,
    MAX_SECTION_CHARS,
    SlackMessage,
    answer_messages,
    partial_message,
)
from api.slack.markup import link, markup_of, split_text
from rag.presenting import fallback_notice
from rag.types import Answer, Citation, Statement
from tests.fake_assistant import FakeAssistant
from tests.fake_slack import message_error, shown_text

URL = "https://notes.example"


def answer_of(*texts: str, quote: str = "引用", support: float = 1.0) -> Answer:
    """An answer of these statements, each with a citation of its own."""
    answer = FakeAssistant().ask("SQSの可視性タイムアウトは何秒？")
    citations = tuple(
        replace(answer.citations[0], number=number, quote=quote)
        for number in range(1, len(texts) + 1)
    )
    statements = tuple(Statement(text, (n,), support) for n, text in enumerate(texts, 1))
    return replace(answer, statements=statements, citations=citations)


def check_limits(messages: list[SlackMessage]) -> None:
    for message in messages:
        assert message_error({"text": message.text, "blocks": list(message.blocks)}) is None
        assert 0 < len(message.text) <= MAX_SECTION_CHARS
        assert len(message.blocks) <= MAX_BLOCKS
        sizes = [len(json.dumps(block, ensure_ascii=False)) for block in message.blocks]
        assert sum(sizes) <= MAX_MESSAGE_CHARS


@pytest.mark.parametrize("public_url", [None, URL])
@pytest.mark.parametrize(
    ("why", "texts"),
    [
        ("one statement longer than a section", ["文です。" * 2000]),
        ("no place to cut", ["長" * 9000]),
        ("everything is an escape", ["<&>" * 4000]),
        ("a quote longer than a section", ["「" + "長い話。" * 2000 + "」"]),
        ("many statements", ["文です。"] * 300),
        ("more than a message", ["文です。" * 100] * 60),
    ],
)
def test_no_answer_is_over_a_limit_and_none_is_cut_short(
    why: str, texts: list[str], public_url: str | None
) -> None:
    messages = answer_messages(answer_of(*texts, quote="<引用>" * 3000), public_url)
    check_limits(messages)
    sections = "".join(
        block["text"]["text"]
        for message in messages
        for block in message.blocks
        if block["type"] == "section"
    )
    said = re.sub(r"<[^>]*>|\[\d+\]|\n", "", sections)
    assert said == markup_of("".join(texts)), why


def test_buttons_stand_once_at_the_end() -> None:
    messages = answer_messages(answer_of(*["文です。" * 100] * 60), URL)
    assert len(messages) > 1
    kinds = [block["type"] for message in messages for block in message.blocks]
    assert [place for place, kind in enumerate(kinds) if kind == "context_actions"] == [
        len(kinds) - 1
    ]


def test_five_places_are_shown_and_the_others_counted() -> None:
    (message,) = answer_messages(answer_of(*"一二三四五六七"), URL)
    text = shown_text({"blocks": list(message.blocks)})
    shown = text[text.index(SOURCES) :]
    assert re.findall(r"^\[(\d)\] <", shown, re.MULTILINE) == ["1", "2", "3", "4", "5"]
    assert shown.endswith("ほか 2 件")
    assert f"<{URL}/notes/" in text[: text.index(SOURCES)].splitlines()[6]  # the seventh too


def test_without_a_public_address_a_place_is_named_by_file_and_line() -> None:
    (message,) = answer_messages(answer_of("文です。"), None)
    text = shown_text({"blocks": list(message.blocks)})
    assert "文です。[1]" in text
    assert "[1] Amazon SQS › Amazon SQS › 可視性タイムアウト（aws/sqs.md " in text
    assert "<" not in text


def test_a_quote_is_one_short_line() -> None:
    (message,) = answer_messages(answer_of("文です。", quote="一行目\n二行目　" + "長" * 200), URL)
    text = shown_text({"blocks": list(message.blocks)})
    (quote,) = re.findall("「(.*)」", text)
    assert quote.startswith("一行目 二行目 長")
    assert quote.endswith("…")
    assert len(quote) == MAX_QUOTE_CHARS


def test_nothing_in_a_note_can_mention_people_or_make_a_link() -> None:
    hostile = "<!channel> <@U1> <https://evil.example|ここ> & &lt;"
    answer = answer_of(hostile, quote=hostile)
    title = replace(answer.citations[0], title="題 <!here> | > 名", url="/notes/a?start=1&end=2")
    (message,) = answer_messages(replace(answer, citations=(title,)), URL)
    for text in (message.text, shown_text({"blocks": list(message.blocks)})):
        assert "<!" not in text
        assert "<@" not in text
        assert "<https://evil" not in text
        assert "&amp;lt;" in text
    links = re.findall(r"<([^|>]*)\|([^>]*)>", shown_text({"blocks": list(message.blocks)}))
    assert {target for target, _ in links} == {f"{URL}/notes/a?start=1&amp;end=2"}
    assert any("題 &lt;!here&gt; ｜ &gt; 名" in label for _, label in links)


def test_bold_of_markdown_loses_its_marks_and_lists_get_bullets() -> None:
    assert markup_of("これは**「重要」**です * 2 - 1") == "これは「重要」です * 2 - 1"
    assert markup_of("次のとおり\n- 一\n  - 二") == "次のとおり\n• 一\n  • 二"


def test_a_link_without_an_address_is_its_label() -> None:
    assert link(None, "a\nb<") == "a b&lt;"


def test_what_a_model_has_written_so_far_fits_too() -> None:
    check_limits([partial_message(""), partial_message("途中"), partial_message("&" * 5000)])


def test_a_refusal_without_any_note_still_says_so() -> None:
    answer = replace(answer_of(), refused=True, hits=())
    (message,) = answer_messages(answer, URL)
    assert message.text == "ノートに見つかりません。"


@pytest.mark.parametrize(
    ("why", "text", "parts"),
    [
        ("behind a full stop", "あいう。えおか", ["あいう。", "えおか"]),
        ("behind a line break", "あい\nうえおか", ["あい\n", "うえおか"]),
        ("a mark stays with its sentence", "あ。[1]いうえ", ["あ。[1]", "いうえ"]),
        ("not inside a quote", "あ「い。う」え", ["あ", "「い。う」", "え"]),
        ("not inside a link", "あい<a|。>うえ", ["あい", "<a|。>", "うえ"]),
        ("not inside an escape", "あいう&lt;えお", ["あいう", "&lt;え", "お"]),
        ("a longer quote at its sentences", "「あいう。えお」", ["「あいう。", "えお」"]),
        ("behind a pause", "あい、うえお", ["あい、", "うえお"]),
        ("fits", "あいうえお", ["あいうえお"]),
        ("nothing", "", []),
    ],
)
def test_a_text_is_cut_where_a_reader_pauses(why: str, text: str, parts: list[str]) -> None:

    assert split_text(text, 5) == parts, why


PIECES = st.sampled_from(
    [
        "文です。",
        "「引用。」",
        "『本、』",
        "<https://a.example/b?c=1|[1]>",
        "[12]",
        "&amp;",
        "&lt;",
        "、",
        "\n",
        "長い",
        "`a b`",
        "「",
    ]
)


@given(st.lists(PIECES, max_size=60).map("".join), st.integers(30, 60))
def test_parts_are_the_text_and_hold_links_escapes_and_quotes_whole(text: str, size: int) -> None:
    parts = split_text(text, size)
    assert "".join(parts) == text
    assert all(0 < len(part) <= size for part in parts)
    for kind in (r"<[^<>]*>", r"&(?:amp|lt);", r"\[12\]", "『本、』", "`a b`"):
        assert sum(len(re.findall(kind, part)) for part in parts) == len(re.findall(kind, text))


def test_citations_of_the_fake_are_citations() -> None:
    assert all(isinstance(cited, Citation) for cited in answer_of("一", "二").citations)


def test_an_answer_of_another_model_than_asked_says_so_first() -> None:
    answer = replace(answer_of("文です。"), failed_model="gpt", fallback_reason="timeout")
    (message,) = answer_messages(answer, URL)
    notice = fallback_notice(answer)
    assert notice
    assert message.blocks[0]["elements"][0]["text"] == notice
