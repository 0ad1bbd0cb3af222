"""What the tests in a real browser do over and over."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

from playwright.sync_api import Page

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

Open = Callable[..., Page]
"""The fixture `open_page` of tests/browser_fixtures.py."""


def ask(page: Page, question: str) -> None:
    """Sends a question by Enter and waits until it is answered, whatever the answer."""
    page.fill("#question", question)
    page.press("#question", "Enter")
    wait_for_answer(page)


def wait_for_answer(page: Page) -> None:
    """Waits until the last question has been answered."""
    page.wait_for_selector(".exchange:last-child .answer[aria-busy=false]")


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is, by the rules of WCAG 2.2 AA."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate(
        """async () => {
            const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
            const { violations } = await axe.run(document, { runOnly: tags });
            return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`);
        }"""
    )
    return list(found)
