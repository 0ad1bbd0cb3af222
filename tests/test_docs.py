"""What a user can type, set or meet is described where a user looks for it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from api.messages import MESSAGES
from rag import errors
from rag.commands import build_parser
from rag.config import Settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

MAX_PICTURE_BYTES = 200_000


@pytest.fixture(scope="module")
def pages() -> str:
    """README.md and docs/*.md as one text."""
    return "\n".join(path.read_text(encoding="utf-8") for path in PAGES)


def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = [action for action in build_parser()._actions if action.dest == "command"]
    assert isinstance(found.choices, dict)
    return found.choices


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Every option of a parser in its long form, and of the commands below it."""
    found = {action.option_strings[-1] for action in parser._actions if action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= set().union(*map(options, action.choices.values()))
    return found - {"--help"}


@pytest.mark.parametrize("command", commands())
def test_every_command_is_described(command: str, pages: str) -> None:
    assert re.search(rf"\bkotae {command}\b", pages)


@pytest.mark.parametrize("option", sorted(options(build_parser())))
def test_every_option_is_described(option: str, pages: str) -> None:
    assert re.search(rf"(?<![\w-]){option}(?![\w-])", pages)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described(name: str, pages: str) -> None:
    assert re.search(rf"\bKOTAE_{name.upper()}\b|`{name}`", pages)


def error_classes() -> list[type[errors.RagError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.RagError)
    ]


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.code)
def test_every_error_has_its_own_code_and_a_sentence_for_the_reader(
    error: type[errors.RagError],
) -> None:
    status, sentence = MESSAGES[error.code]
    assert 400 <= status < 600
    assert not sentence.isascii()
    assert [other for other in error_classes() if other.code == error.code] == [error]


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"^[│├└─ ]*(\w+Error) +(\w+) ", errors.__doc__ or "", re.MULTILINE)
    assert dict(drawn) == {
        error.__name__: error.code for error in error_classes() if error is not errors.RagError
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_no_page_names_a_command_that_does_not_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`|\$ |/)kotae ([a-z]+)", text, re.MULTILINE))
    assert named <= set(commands())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_to_headings_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", text):
        other = (page.parent / target) if target else page
        if other.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in headings]
            assert anchor in anchors, f"{target}#{anchor}"


def test_pictures_of_the_readme_are_there_and_light() -> None:
    named = {
        picture
        for page in ("README.md", "README.ja.md")
        for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / page).read_text("utf-8"))
    }
    assert named == {f"docs/images/{path.name}" for path in (ROOT / "docs/images").iterdir()}
    assert [name for name in named if (ROOT / name).stat().st_size >= MAX_PICTURE_BYTES] == []
