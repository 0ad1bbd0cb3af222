from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rag.errors import ConfigError, GeneratorError
from rag.guarding import guard


def test_pieces_come_in_order_and_empty_ones_are_but_a_sign_of_life() -> None:
    assert list(guard(lambda: iter(["一", "", "二"]), 5, 100)) == ["一", "二"]


def test_silence_is_a_failure() -> None:
    forever = threading.Event()

    def silent() -> Iterator[str]:
        yield "一"
        forever.wait()

    pieces = guard(silent, 0.05, 100)
    assert next(pieces) == "一"
    with pytest.raises(GeneratorError, match="no answer within") as caught:
        next(pieces)
    assert caught.value.reason == "timeout"
    forever.set()


def test_signs_of_life_do_not_last_for_ever() -> None:
    left = threading.Event()

    def dribbling() -> Iterator[str]:
        try:
            while True:
                threading.Event().wait(0.01)
                yield ""
        finally:
            left.set()

    with pytest.raises(GeneratorError) as caught:
        list(guard(dribbling, 0.05, 100))
    assert caught.value.reason == "timeout"
    assert left.wait(5)


def test_text_over_the_limit_is_a_failure_and_closes_the_model() -> None:
    closed = threading.Event()

    def endless() -> Iterator[str]:
        try:
            while True:
                yield "あ" * 10
        finally:
            closed.set()

    with pytest.raises(GeneratorError, match="longer than 25 characters") as caught:
        list(guard(endless, 5, 25))
    assert caught.value.reason == "too_long"
    assert closed.wait(5)


def test_a_reader_that_leaves_closes_the_model() -> None:
    closed = threading.Event()

    def endless() -> Iterator[str]:
        try:
            while True:
                yield "あ"
        finally:
            closed.set()

    pieces = guard(endless, 5, 10**9)
    next(pieces)
    assert isinstance(pieces, Iterator)
    pieces.close()  # type: ignore[attr-defined]
    assert closed.wait(5)


@pytest.mark.parametrize(
    ("error", "told", "reason"),
    [
        (GeneratorError("busy", "rate_limited"), "busy", "rate_limited"),
        (ConfigError("prompt = x: gone"), "failed: prompt = x: gone", "failed"),
        (ZeroDivisionError("division by zero"), "failed: ZeroDivisionError: division", "failed"),
    ],
)
def test_every_failure_is_a_generator_error(error: Exception, told: str, reason: str) -> None:
    def failing() -> Iterator[str]:
        yield "一"
        raise error

    with pytest.raises(GeneratorError, match=told) as caught:
        list(guard(failing, 5, 100))
    assert caught.value.reason == reason


def test_a_model_that_fails_before_its_first_piece_is_told_too() -> None:
    def failing() -> Iterator[str]:
        raise ValueError("no")

    with pytest.raises(GeneratorError, match="ValueError: no"):
        list(guard(failing, 5, 100))


def test_a_reason_that_nobody_knows_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="reason 'tired' is none of"):
        GeneratorError("x", "tired")
