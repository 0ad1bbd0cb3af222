from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.judging import holds, places_of, score_documents, score_passages
from eval.gold import GoldQuestion, Target, anchor_gold
from tests.eval_fakes import make_note
from tests.fakes import make_chunk

TEXT = "# 題\n\nキューは最大で12時間まで延ばせる。\n\n別の話。\n\nキューは短い。"
QUOTE = "最大で12時間まで延ばせる"
NOTE = make_note("a.md", TEXT)
DOCUMENTS = {"a.md": NOTE, "b.md": make_note("b.md", TEXT)}


def question(*quotes: str) -> GoldQuestion:
    targets = tuple(Target("a.md", quote) for quote in quotes)
    return anchor_gold([GoldQuestion("q", "?", True, targets)], DOCUMENTS)[0]


(TARGET,) = question(QUOTE).targets


@given(st.integers(0, len(TEXT) - 1), st.integers(1, len(TEXT)))
def test_a_literal_passage_is_judged_as_the_evaluation_judges_a_chunk(
    start: int, size: int
) -> None:
    text = TEXT[start : start + size]
    chunk = make_chunk(text, doc_id="a.md", start_index=start)
    if len("".join(text.split())) > 3 and text == text.strip():
        assert holds(TARGET, "a.md", text, DOCUMENTS) == TARGET.held_by(chunk)


def test_white_space_that_a_splitter_changed_does_not_matter() -> None:
    assert holds(TARGET, "a.md", "キューは\n最大で 12時間まで延ばせる。\n\n", DOCUMENTS)
    assert list(places_of("別の 話", TEXT)) == [(TEXT.index("別"), TEXT.index("話") + 1)]


def test_every_place_of_a_passage_counts() -> None:
    starts = [TEXT.index("キューは"), TEXT.rindex("キューは")]
    assert [start for start, _ in places_of("キューは", TEXT)] == starts


def test_a_passage_that_was_rewritten_counts_by_the_run_it_shares() -> None:
    rewritten = "**キュー**: 最大で12時間 (延ばせる)"  # 7 of the quote's 13 characters in a row
    assert holds(TARGET, "a.md", rewritten, DOCUMENTS)
    assert not holds(TARGET, "a.md", "**キュー**: 最大で12 (時間)", DOCUMENTS)


def test_the_same_words_of_another_note_do_not_count() -> None:
    assert not holds(TARGET, "b.md", QUOTE, DOCUMENTS)


def test_an_empty_passage_holds_nothing() -> None:
    assert not holds(TARGET, "a.md", " \n", DOCUMENTS)


def test_scores_are_those_of_the_evaluation() -> None:
    passages = [("b.md", QUOTE), ("a.md", "別の話。"), ("a.md", f"キューは{QUOTE}。")]
    scores = score_passages(question(QUOTE), passages, DOCUMENTS)
    assert (scores["hit@1"], scores["hit@3"], scores["mrr@10"]) == (0, 1, 1 / 3)


def test_a_document_ranks_where_its_first_passage_does() -> None:
    asked = GoldQuestion("q", "?", True, (Target("c.md"),))
    passages = [("a.md", "1"), ("a.md", "2"), ("c.md", "3"), ("c.md", "4")]
    scores = score_documents(asked, passages)
    assert (scores["hit@1"], scores["mrr@10"]) == (0, 1 / 2)
