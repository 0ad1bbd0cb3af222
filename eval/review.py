"""`kotae gold review`: answers that readers called bad → gold questions, one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

from eval.answers import comparable
from eval.gold import (
    FROM_FEEDBACK,
    GoldError,
    anchor_gold,
    load_gold,
    parse_gold_line,
)
from eval.runs import Searcher
from rag.commands.terminal import UNSEEN
from rag.errors import QuestionError
from rag.facts import facts_of
from rag.types import Document, Hit

NEAREST_HITS: Final = 6
MAX_LINES: Final = 12
"""Lines of a passage that can be chosen by a letter; the passage itself is shown whole."""

CHOICES: Final = (
    "[bold]1[/] passage 1 · [bold]2b[/] line b of passage 2 · several: [bold]1a 3[/] · "
    "[bold]n[/] not in the notes · [bold]/ WORDS[/] search with these\n"
    "[bold]e[/] reword the question · [bold]s[/] skip for now · [bold]x[/] no gold question · "
    "[bold]q[/] quit"
)
KEYS_HELP: Final = (
    "facts that a right answer holds: ; between facts, | between spellings of one "
    "(15分|900秒; Lambda), - for none"
)
_PLACE: Final = re.compile(r"(\d+)([a-z]?)")

Outcome = Literal["gold", "rejected", "skipped"]
Ask = Callable[[str], str]
"""Reads one line of the reviewer's; EOFError when there is no more."""


class JudgedAnswer(Protocol):
    """An answer that a reader called bad; the service's store has them."""

    @property
    def answer_id(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def history(self) -> tuple[str, ...]: ...
    @property
    def answer(self) -> str: ...
    @property
    def comment(self) -> str | None: ...
    @property
    def given_at(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Quote:
    """A literal piece of a note that answers the question."""

    doc_id: str
    text: str


class Reviewer:
    """Shows bad answers and makes of each what the person at the terminal says."""

    def __init__(self, searcher: Searcher, gold: Path, console: Console, ask: Ask) -> None:
        self._searcher = searcher
        self._documents = {document.doc_id: document for document in searcher.documents()}
        self._gold = gold
        self._console = console
        self._ask = ask

    def review(self, answers: Sequence[JudgedAnswer], mark: Callable[[str, Outcome], None]) -> int:
        """Goes through them; `mark` is told each outcome at once. Returns how many became gold."""
        added = 0
        known = _known_ids(self._gold)
        for number, answer in enumerate(answers, start=1):
            if query_id_of(answer) in known:
                mark(answer.answer_id, "gold")
                continue
            self._show(answer, f"{number} of {len(answers)}")
            try:
                outcome = self._decide(answer)
            except EOFError:
                break
            if outcome is None:
                break
            mark(answer.answer_id, outcome)
            added += outcome == "gold"
        return added

    def _decide(self, answer: JudgedAnswer) -> Outcome | None:
        """What becomes of the answer; None ends the review."""
        question, hits = answer.question, self._find(answer.question, answer.history)
        while True:
            said = self._ask("> ").strip()
            if said in _OUTCOMES:
                return _OUTCOMES[said]
            if said == "e":
                question = self._ask("question: ").strip() or question
                hits = self._find(question, answer.history)
            elif said.startswith("/"):
                hits = self._find(said[1:], ())
            elif said == "n":
                return self._add(answer, question, (), ())
            elif quotes := self._choose(said, hits):
                keys = self._ask_keys(question, quotes)
                return self._add(answer, question, quotes, keys)

    def _show(self, answer: JudgedAnswer, place: str) -> None:
        self._console.print(Rule(f"{place} · {answer.given_at[:10]}", align="left", characters="─"))
        for earlier in answer.history:
            self._print("[bold]  before[/]", earlier)
        self._print("[bold]question[/]", answer.question)
        self._print("[bold]  answer[/]", answer.answer or "(refused)")
        if answer.comment:
            self._print("[bold] comment[/]", answer.comment)

    def _print(self, label: str, text: str) -> None:
        """A label with its mark-up, and text of others, which must not steer the terminal."""
        self._console.print(f"{label} {escape(text.translate(UNSEEN))}", soft_wrap=True)

    def _find(self, question: str, history: Sequence[str]) -> tuple[Hit, ...]:
        try:
            hits = self._searcher.search(question, history=history, top_k=NEAREST_HITS).hits
        except QuestionError as error:
            self._print("[red]?[/]", str(error))
            return ()
        for hit in hits:
            place = f"{hit.chunk.doc_id}:{hit.chunk.start_line}"
            self._print(f"\n[bold cyan]{hit.rank}[/]", f"{hit.chunk.breadcrumb}  ({place})")
            for letter, line in lettered_lines(hit).items():
                self._print(f"   [cyan]{letter}[/]", line)
        self._console.print(f"\n{CHOICES}", soft_wrap=True)
        return hits

    def _choose(self, said: str, hits: Sequence[Hit]) -> tuple[Quote, ...]:
        try:
            return tuple(dict.fromkeys(_quote_of(word, hits) for word in said.split()))
        except ValueError as error:
            self._print("[red]?[/]", str(error))
            return ()

    def _ask_keys(self, question: str, quotes: Sequence[Quote]) -> tuple[tuple[str, ...], ...]:
        proposed = proposed_keys(question, quotes)
        self._console.print(f"{KEYS_HELP}; Enter: {escape(write_keys(proposed)) or 'none'}")
        said = self._ask("answer keys: ").strip()
        return read_keys(said) if said else proposed

    def _add(
        self,
        answer: JudgedAnswer,
        question: str,
        quotes: Sequence[Quote],
        keys: Sequence[Sequence[str]],
    ) -> Outcome:
        row = {
            "query_id": query_id_of(answer),
            "question": question,
            "history": list(answer.history),
            "tags": [FROM_FEEDBACK],
            "answerable": bool(quotes),
            "relevant": [{"doc_id": quote.doc_id, "quote": quote.text} for quote in quotes],
            "answer_keys": [list(group) for group in keys],
            "origin": FROM_FEEDBACK,
        }
        append_gold(self._gold, row, self._documents)
        self._console.print(f"[green]added to {escape(str(self._gold))}[/]\n")
        return "gold"


_OUTCOMES: Final[Mapping[str, Outcome | None]] = {"s": "skipped", "x": "rejected", "q": None}


def query_id_of(answer: JudgedAnswer) -> str:
    """The id of the gold question that an answer leads to: the same each time."""
    return f"{FROM_FEEDBACK}-{''.join(answer.answer_id.split())}"


def lettered_lines(hit: Hit) -> dict[str, str]:
    """The lines of a passage that hold something, by the letter that chooses them."""
    lines = [line.strip() for line in hit.chunk.text.splitlines()]
    full = [line for line in lines if line]
    return {chr(ord("a") + place): line for place, line in enumerate(full[:MAX_LINES])}


def proposed_keys(question: str, quotes: Sequence[Quote]) -> tuple[tuple[str, ...], ...]:
    """Numbers with their units that the quotes hold and the question does not give."""
    asked = facts_of(question).quantities
    keys = [
        (f"{quantity.value}{quantity.unit}",)
        for quote in quotes
        for quantity in facts_of(quote.text).quantities
        if quantity.unit and quantity not in asked
    ]
    held = comparable("\n".join(quote.text for quote in quotes))
    return tuple(key for key in dict.fromkeys(keys) if key[0] in held)


def read_keys(said: str) -> tuple[tuple[str, ...], ...]:
    """`15分|900秒; Lambda` → (("15分", "900秒"), ("Lambda",)); `-` → ()."""
    if said == "-":
        return ()
    groups = [
        tuple(key.strip() for key in group.split("|") if key.strip())
        for group in re.split("[;；]", said)
    ]
    return tuple(group for group in groups if group)


def write_keys(keys: Sequence[Sequence[str]]) -> str:
    """What `read_keys` reads."""
    return "; ".join("|".join(group) for group in keys)


def append_gold(path: Path, row: Mapping[str, Any], documents: Mapping[str, Document]) -> None:
    """Adds a question to a file, which is made if need be; GoldError when it would not load."""
    line = json.dumps(row, ensure_ascii=False)
    try:
        question = parse_gold_line(line, f"{path} (new)")
    except ValueError as fault:
        raise GoldError([f"{path} (new): {fault}"]) from fault
    anchor_gold([question], documents)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            if file.tell() and not _ends_with_newline(path):
                file.write(b"\n")
            file.write(f"{line}\n".encode())
    except OSError as error:
        raise GoldError([f"{path}: cannot be written ({error.strerror or error})"]) from error


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _known_ids(path: Path) -> set[str]:
    if not path.exists() or not path.stat().st_size:
        return set()
    return {question.query_id for question in load_gold([path])}


def _quote_of(word: str, hits: Sequence[Hit]) -> Quote:
    found = _PLACE.fullmatch(word)
    if not found or not 1 <= int(found[1]) <= len(hits):
        raise ValueError(f"{word!r} is none of the choices")
    hit = hits[int(found[1]) - 1]
    if not found[2]:
        return Quote(hit.chunk.doc_id, hit.chunk.text.strip())
    lines = lettered_lines(hit)
    if found[2] not in lines:
        raise ValueError(f"passage {found[1]} has no line {found[2]!r}")
    return Quote(hit.chunk.doc_id, lines[found[2]])
