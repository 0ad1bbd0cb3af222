"""Kotae's library: Japanese notes in, cited passages and answers out.

from rag import Assistant, Settings
Assistant.open(Settings()).ask("…")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.assistant import Assistant as Assistant
    from rag.config import Settings as Settings

__all__ = ["Assistant", "Settings"]


def __getattr__(name: str) -> object:
    """Imported when asked for: a command that needs neither starts at once."""
    if name == "Assistant":
        from rag.assistant import Assistant

        return Assistant
    if name == "Settings":
        from rag.config import Settings

        return Settings
    raise AttributeError(f"module 'rag' has no attribute {name!r}")
