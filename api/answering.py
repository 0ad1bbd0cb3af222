"""The library's face as the service uses it, and how a request gets hold of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request

from api.errors import NotReadyError, UnknownModelError, log_unknown_error
from rag.config import Settings
from rag.errors import RagError
from rag.types import Answer, Document, SearchResult, Section

logger = logging.getLogger(__name__)


class Answering(Protocol):
    """What the service needs of `rag.Assistant`; safe to call from several threads."""

    @property
    def snapshot_id(self) -> str: ...
    @property
    def built_at(self) -> str: ...
    @property
    def models(self) -> tuple[str, ...]: ...
    @property
    def tags(self) -> tuple[str, ...]: ...

    def search(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
    ) -> SearchResult: ...

    def ask(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
        model: str | None = None,
    ) -> Answer: ...

    def stream(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
        model: str | None = None,
    ) -> Iterator[SearchResult | str | Answer]: ...

    def renewed(self, *, reindex: bool) -> Answering | None: ...
    def documents(self) -> tuple[Document, ...]: ...
    def document(self, doc_id: str) -> Document: ...
    def sections(self, doc_id: str) -> tuple[Section, ...]: ...


class Readiness:
    """Holds the assistant once it is open, or why it could not be opened."""

    def __init__(self, assistant: Answering | None = None) -> None:
        self._assistant = assistant
        self._error: RagError | None = None
        self._settled = threading.Event()
        if assistant is not None:
            self._settled.set()

    def open_in_background(self, settings: Settings) -> None:
        """Starts to open the assistant; until that is done `assistant` raises NotReadyError."""
        threading.Thread(target=self._open, args=(settings,), daemon=True).start()

    def _open(self, settings: Settings) -> None:
        from rag.assistant import Assistant  # slow to import: the page is up before it is done

        try:
            self._assistant = Assistant.open(settings)
        except RagError as error:
            logger.error("the service cannot open: %s", error)
            self._error = error
        except Exception as error:
            self._error = RagError(f"id {log_unknown_error(error)}")
        finally:
            self._settled.set()

    @property
    def assistant(self) -> Answering:
        """The open assistant; raises NotReadyError, or what opening it raised."""
        if self._assistant is not None:
            return self._assistant
        raise self._error or NotReadyError("the index and the model are being opened")

    @property
    def is_open(self) -> bool:
        """Whether there is an assistant."""
        return self._assistant is not None

    def replace(self, assistant: Answering) -> None:
        """From now on this one answers; requests that began with the other end with that."""
        self._assistant = assistant

    def built_at(self) -> str | None:
        """When the snapshot in use was built, ISO 8601; None while there is none."""
        return self._assistant.built_at if self._assistant is not None else None

    def wait(self, timeout_seconds: float) -> Answering:
        """`assistant`, after at most that long; for callers that cannot come again."""
        self._settled.wait(timeout_seconds)
        return self.assistant


async def current_assistant(request: Request) -> Answering:
    """The assistant of the application that got the request."""
    # A coroutine, for FastAPI hands every plain function to another thread.
    return cast(Readiness, request.app.state.readiness).assistant


CurrentAssistant = Annotated[Answering, Depends(current_assistant)]


def check_model(assistant: Answering, model: str | None) -> str | None:
    """`model` if it is there or None; raises UnknownModelError naming the choices."""
    if model is not None and model not in assistant.models:
        raise UnknownModelError(f"unknown model {model!r}; choose one of {list(assistant.models)}")
    return model
