"""A command's options → the settings and the open assistant it works with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.assistant import Assistant
    from rag.config import Settings


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings with what was given on the command line on top; raises ConfigError."""
    from rag.config import Settings, load_settings

    given = {name: value for name, value in vars(options).items() if name in Settings.model_fields}
    return load_settings(**given)


def open_assistant(settings: Settings) -> Assistant:
    """The assistant over an index that is up to date; progress on stderr."""
    from rag.assistant import Assistant
    from rag.progress import progress_bars

    with progress_bars() as report:
        return Assistant.open(settings, report)
