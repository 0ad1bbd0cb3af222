import numpy as np
import pytest

from eval.fit_extraction import FITTED, Choice, fit_choices, holds_answer
from eval.gold import GoldQuestion, Target
from rag.units import Unit
from tests.fakes import make_chunk, make_hit


def test_what_tells_the_right_units_gets_the_weight() -> None:
    random = np.random.default_rng(0)
    wanted = np.array([1.0, 2.0, 0.0, 0.0, 0.5, -0.2])
    choices = []
    for _ in range(300):
        evidence = random.normal(0, 1, (8, len(FITTED)))
        chances = np.exp(evidence @ wanted)
        right = np.zeros(8, bool)
        right[random.choice(8, p=chances / chances.sum())] = True
        choices.append(Choice(evidence, right))
    np.testing.assert_allclose(fit_choices(choices), wanted, atol=0.25)


def test_evidence_that_is_always_the_same_gets_no_weight() -> None:
    right = np.array([True, False])
    evidence = np.zeros((2, len(FITTED)))
    evidence[:, 0] = [1.0, 0.0]
    weights = fit_choices([Choice(evidence, right)] * 5)
    assert weights[0] > 0
    assert not weights[1:].any()


@pytest.mark.parametrize(
    ("doc_id", "span", "keys", "right"),
    [
        ("note.md", (2, 6), (), True),
        ("note.md", (0, 8), (), True),  # half of the quote
        ("note.md", (6, 12), (), False),
        ("other.md", (2, 6), (), False),
        ("other.md", (2, 6), (("7日",),), True),
        ("other.md", (2, 6), (("7日",), ("30日",)), False),
    ],
)
def test_a_unit_is_right_that_holds_the_quote_or_all_keys(
    doc_id: str, span: tuple[int, int], keys: tuple[tuple[str, ...], ...], right: bool
) -> None:
    nothing = np.zeros(0, bool)
    unit = Unit(make_hit(make_chunk("保持は7日")), 0, 5, "保持は7日", (), nothing, nothing)
    target = Target(doc_id, "引用", (span,))
    question = GoldQuestion("q", "いつまで？", True, (target,), answer_keys=keys)
    assert holds_answer(unit, question) is right
