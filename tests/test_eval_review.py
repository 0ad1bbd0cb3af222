from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from api.feedback import BadAnswer
from eval.gold import GoldError, GoldQuestion, load_gold
from eval.review import Quote, Reviewer, append_gold, proposed_keys, read_keys, write_keys
from eval.runs import WHOLE
from tests.eval_fakes import ScriptedAssistant, make_note

NOTE = make_note("aws/a.md", "既定は30秒。\n最大は12時間。\n\x1b[31m料金は安い。", "SQS")
RANKING = {
    "何秒？": ("aws/a.md#1", "aws/a.md#2"),
    "最大は？": ("aws/a.md#2",),
    "上限": ("aws/a.md#2", "aws/a.md#3"),
}


def bad(answer_id: str = "a1", question: str = "何秒？", **others: object) -> BadAnswer:
    given: dict[str, object] = {"history": (), "answer": "安い。[1]", "comment": None}
    return BadAnswer(answer_id, question, given_at="2026-11-25T00:00:00", **given | others)  # type: ignore[arg-type]


class Session:
    """A review whose lines are given, with all that was shown and remembered."""

    def __init__(self, folder: Path) -> None:
        self.gold = folder / "gold" / "feedback.jsonl"
        self.outcomes: dict[str, str] = {}
        self.shown = ""

    def run(self, answers: list[BadAnswer], *lines: str) -> int:
        console = Console(file=io.StringIO(), width=200, highlight=False)
        said: Iterator[str] = iter(lines)

        def ask(prompt: str) -> str:
            try:
                return next(said)
            except StopIteration:
                raise EOFError from None

        searcher = ScriptedAssistant((NOTE,), {WHOLE: RANKING})
        reviewer = Reviewer(searcher, self.gold, console, ask)
        added = reviewer.review(answers, self.outcomes.__setitem__)
        assert isinstance(console.file, io.StringIO)
        self.shown = console.file.getvalue()
        return added

    def questions(self) -> list[GoldQuestion]:
        return load_gold([self.gold])


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def test_a_chosen_line_becomes_the_quote_of_a_gold_question(session: Session) -> None:
    answer = bad(history=("SQSとは？",), comment="違います")
    assert session.run([answer], "1a", "") == 1
    assert session.outcomes == {"a1": "gold"}
    (question,) = session.questions()
    assert question.query_id == "feedback-a1"
    assert (question.question, question.history) == ("何秒？", ("SQSとは？",))
    assert [(t.doc_id, t.quote) for t in question.targets] == [("aws/a.md", "既定は30秒。")]
    assert question.answer_keys == (("30秒",),)
    assert (question.origin, question.tags) == ("feedback", ("feedback",))
    for part in ("違います", "SQSとは？", "安い。[1]", "SQS › 節  (aws/a.md:1)"):
        assert part in session.shown


def test_several_places_may_hold_the_answer(session: Session) -> None:
    session.run([bad()], "1 2a", "30秒|三十秒; 12時間")
    (question,) = session.questions()
    assert [target.quote for target in question.targets] == ["既定は30秒。", "最大は12時間。"]
    assert question.answer_keys == (("30秒", "三十秒"), ("12時間",))


def test_what_the_notes_do_not_hold_becomes_an_unanswerable_question(session: Session) -> None:
    session.run([bad()], "n")
    (question,) = session.questions()
    assert (question.answerable, question.targets, question.answer_keys) == (False, (), ())


def test_other_words_find_other_passages(session: Session) -> None:
    session.run([bad(question="どこまで？")], "/上限", "1", "-")
    (question,) = session.questions()
    assert question.question == "どこまで？"
    assert question.targets[0].quote == "最大は12時間。"
    assert question.answer_keys == ()


def test_the_question_can_be_reworded(session: Session) -> None:
    session.run([bad()], "e", "最大は？", "1", "")
    (question,) = session.questions()
    assert (question.question, question.targets[0].quote) == ("最大は？", "最大は12時間。")


@pytest.mark.parametrize("said", ["9", "1z", "0", "a", "1 9", "ほか"])
def test_what_is_no_choice_is_asked_again(session: Session, said: str) -> None:
    assert session.run([bad()], said, "1", "") == 1
    assert len(session.questions()) == 1


def test_each_outcome_is_remembered_at_once_and_the_end_of_input_ends(session: Session) -> None:
    answers = [bad("a1"), bad("a2"), bad("a3"), bad("a4")]
    assert session.run(answers, "s", "x", "1", "") == 1
    assert session.outcomes == {"a1": "skipped", "a2": "rejected", "a3": "gold"}
    assert session.run([bad("a4")], "q") == 0
    assert "a4" not in session.outcomes


def test_an_answer_already_in_the_file_is_not_asked_about_again(session: Session) -> None:
    session.run([bad()], "1", "")
    session.outcomes.clear()
    assert session.run([bad()]) == 0
    assert session.outcomes == {"a1": "gold"}
    assert len(session.questions()) == 1


def test_a_note_cannot_steer_the_terminal(session: Session) -> None:
    session.run([bad(question="上限", answer="\x1b[2J")], "q")
    assert "\ufffd[31m料金は安い。" in session.shown
    assert "\x1b" not in session.shown


def test_a_question_that_would_not_load_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    row = {"query_id": "x", "question": "?", "answerable": True}
    absent = row | {"relevant": [{"doc_id": "aws/a.md", "quote": "無い言葉"}]}
    for wrong in (row, absent):
        with pytest.raises(GoldError):
            append_gold(path, wrong, {NOTE.doc_id: NOTE})
    assert not path.exists()


def test_a_file_without_a_last_newline_gets_one_first(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    first = {"query_id": "x", "question": "?", "answerable": False}
    path.write_text(json.dumps(first), encoding="utf-8")
    append_gold(path, first | {"query_id": "y"}, {})
    assert [question.query_id for question in load_gold([path])] == ["x", "y"]


def test_keys_are_proposed_from_numbers_that_the_question_does_not_give() -> None:
    quotes = [Quote("a", "30秒から12時間まで、1,000件。"), Quote("b", "標準は３０秒。")]
    assert proposed_keys("12時間より短いのは？", quotes) == (("30秒",),)


@pytest.mark.parametrize(
    ("said", "keys"),
    [
        ("15分|900秒; Lambda", (("15分", "900秒"), ("Lambda",))),
        (" ；;| ", ()),
        ("-", ()),
        ("a", (("a",),)),
    ],
)
def test_keys_are_read_as_written(said: str, keys: tuple[tuple[str, ...], ...]) -> None:
    assert read_keys(said) == keys
    assert not keys or read_keys(write_keys(keys)) == keys
