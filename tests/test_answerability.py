from __future__ import annotations

import numpy as np
import pytest

from rag.answerability import answerability_signals, answerable_probability
from rag.config import Settings
from rag.indexing import build_snapshot
from rag.loading import make_document
from rag.types import Hit
from tests.fakes import BigramEmbedder, silent

NOTE = "## ペンギンの泳ぎ\n\nペンギンは翼で水をかき、速く泳ぐ。\n"
EMBEDDER = BigramEmbedder()
SNAPSHOT = build_snapshot([make_document("鳥.md", NOTE)], Settings(), EMBEDDER, silent)


def signals_of(question: str, *unknown: str) -> dict[str, float]:
    _, (tokens,) = EMBEDDER.embed_queries([question])
    best = Hit(SNAPSHOT.chunks[0], 1, 1.0, {"dense": 0.8})
    return answerability_signals(SNAPSHOT, question, {}, tokens, unknown, best)


@pytest.mark.parametrize("aspect", ["利点", "メリット", "特徴", "仕組み", "役割"])
def test_what_is_asked_of_a_thing_need_not_stand_in_its_note(aspect: str) -> None:
    asked, other = signals_of(f"ペンギンの{aspect}"), signals_of("ペンギンの年齢")
    assert asked["unmet"] < other["unmet"]
    assert asked["worst_half"] > other["worst_half"]
    assert answerable_probability(asked) > answerable_probability(other)


def test_of_a_thing_that_the_note_lacks_an_aspect_changes_nothing() -> None:
    alone, aspect = signals_of("冷蔵庫の"), signals_of("冷蔵庫の利点")
    assert aspect["worst_half"] == pytest.approx(alone["worst_half"])
    assert aspect["unmet"] == pytest.approx(alone["unmet"])


def test_a_question_of_nothing_but_an_aspect_is_judged_by_it() -> None:
    signals = signals_of("利点")
    assert signals["unmet"] > 0
    assert np.isfinite(list(signals.values())).all()


def test_a_name_that_no_note_knows_counts_against_an_answer() -> None:
    known, unknown = signals_of("ペンギンの泳ぎ"), signals_of("ペンギンの泳ぎ", "Zephyr")
    assert answerable_probability(unknown) < answerable_probability(known)
    assert answerable_probability({}) == 0.0
