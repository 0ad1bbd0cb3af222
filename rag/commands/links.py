"""Places in notes → links that a terminal opens (OSC 8), where the terminal is known to do so."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.assistant import Assistant
    from rag.types import Citation

TERMINAL_VARIABLES = ("KITTY_WINDOW_ID", "WT_SESSION", "KONSOLE_VERSION", "WEZTERM_PANE")
"""Set by terminals that open such links."""
TERMINAL_PROGRAMS = {"iTerm.app", "WezTerm", "vscode", "ghostty", "Hyper", "tmux"}
FIRST_VTE_VERSION = 5000
"""GNOME Terminal and its relatives; VTE 0.50 was the first that did."""


def places_of(assistant: Assistant, citations: Iterable[Citation]) -> dict[str, str]:
    """Where each cited place, as it is shown, opens; nothing where the terminal opens no links."""
    if not opens_links(os.environ):
        return {}
    from rag.presenting import note_file_url, place_words

    corpus = assistant.settings.corpus
    return {
        place_words(cited): note_file_url(
            corpus, assistant.document(cited.doc_id), cited.start_line
        )
        for cited in citations
    }


def opens_links(environment: Mapping[str, str]) -> bool:
    """Whether stdout is a terminal that is known to open links."""
    if not sys.stdout.isatty() or environment.get("TERM") == "dumb":
        return False
    vte = environment.get("VTE_VERSION", "")
    return (
        environment.get("TERM_PROGRAM") in TERMINAL_PROGRAMS
        or any(environment.get(name) for name in TERMINAL_VARIABLES)
        or (vte.isdecimal() and int(vte) >= FIRST_VTE_VERSION)
    )
