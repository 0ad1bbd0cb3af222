"""Stage 7: which answer models there are, and how the one that is asked for is opened.

The extractive default needs none of this. Others are servers named in kotae.toml, then plug-ins:
installed packages with an entry point in the group `kotae.generators`, loaded when first used, so
that a broken one nobody asks for cannot stop the start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

from rag.config import Settings
from rag.errors import ConfigError, GeneratorError
from rag.extraction import EXTRACTIVE
from rag.openai_generator import OpenAIGenerator
from rag.prompting import Prompt
from rag.protocols import Generator

PLUGIN_GROUP = "kotae.generators"
GeneratorFactory = Callable[[Settings], Generator]
"""What the entry point of a plug-in names."""

logger = logging.getLogger(__name__)


class Generators:
    """The answer models by name; each is opened once, when it is first used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._plugins: Mapping[str, EntryPoint] = {
            point.name: point for point in entry_points(group=PLUGIN_GROUP)
        }
        self._opened: dict[str, Generator] = {}
        self._lock = threading.Lock()
        found = dict.fromkeys([EXTRACTIVE, *settings.models, *sorted(self._plugins)])
        for name in self._plugins.keys() & {EXTRACTIVE, *settings.models}:
            logger.warning("plug-in %r is hidden by the answer model of the same name", name)
        first = [settings.model] if settings.model in found else []
        self.names: tuple[str, ...] = tuple(dict.fromkeys([*first, *found]))

    @property
    def default(self) -> str:
        """The model that answers when none is named; raises ConfigError if there is no such."""
        try:
            return self.check(self._settings.model)
        except GeneratorError as error:
            raise ConfigError(f"model: {error}") from error

    def check(self, name: str) -> str:
        """`name`, if there is such a model; raises GeneratorError naming the choices."""
        if name not in self.names:
            raise GeneratorError(f"no answer model {name!r}; choose one of {list(self.names)}")
        return name

    def open(self, name: str) -> Generator:
        """The model; raises GeneratorError when it is unknown or its plug-in does not load."""
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._open(self.check(name))
            return self._opened[name]

    def _open(self, name: str) -> Generator:
        server = self._settings.models.get(name)
        if server is not None:
            prompt = Prompt(self._settings.prompt)
            return OpenAIGenerator(name, server, prompt, self._settings.answer_timeout_seconds)
        point = self._plugins[name]
        try:
            factory: GeneratorFactory = point.load()
            return factory(self._settings)
        except Exception as error:
            raise GeneratorError(
                f"the plug-in {name!r} ({point.value}) does not load: "
                f"{type(error).__name__}: {error}; mend or uninstall it"
            ) from error
