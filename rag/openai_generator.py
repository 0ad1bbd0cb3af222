"""Stage 7: an answer model behind an OpenAI-compatible server (openai lives here alone)."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from rag.config import ModelSettings
from rag.errors import GeneratorError
from rag.prompting import Message, Prompt
from rag.types import Hit

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletionMessageParam

NO_KEY = "none"
"""Local servers want no key, the client wants one that is not empty."""
THINKING, ANSWERING = "<think>", "</think>"


class OpenAIGenerator:
    """Streams an answer; failures come as GeneratorError, after `max_retries` with back-off."""

    def __init__(
        self, name: str, server: ModelSettings, prompt: Prompt, timeout_seconds: float
    ) -> None:
        self.name = name
        self._server = server
        self._prompt = prompt
        self._timeout_seconds = timeout_seconds

    @cached_property
    def _client(self) -> OpenAI:
        from openai import DefaultHttpxClient, OpenAI  # slow to import: only for those who use it

        key = self._server.api_key
        # A server that the user set may not send this one on to another, inner, address.
        http_client = DefaultHttpxClient(follow_redirects=False)
        weakref.finalize(self, http_client.close)
        return OpenAI(
            base_url=self._server.base_url,
            api_key=(key.get_secret_value() if key else "") or NO_KEY,
            timeout=self._timeout_seconds,
            max_retries=self._server.max_retries,
            http_client=http_client,
        )

    def generate(self, question: str, hits: Sequence[Hit], history: Sequence[str]) -> Iterator[str]:
        """The answer in pieces as they come; an empty piece says that the model is at work."""
        import httpx2
        import openai

        messages = self._prompt.messages(question, hits, history)
        try:
            yield from without_thoughts(self._pieces(messages))
        except openai.APIError as error:
            raise self._failure(error, _reason_of(error)) from error
        except httpx2.TimeoutException as error:
            raise self._failure(error, "timeout") from error
        except (openai.OpenAIError, httpx2.HTTPError, ValueError) as error:
            # The client leaves what happens within a stream as it comes: broken off, no JSON.
            raise self._failure(error, "cut_off") from error

    def _pieces(self, messages: Sequence[Message]) -> Iterator[str]:
        options: dict[str, Any] = self._server.options
        finish_reason: str | None = None
        with self._client.chat.completions.create(
            model=self._server.model,
            messages=cast("list[ChatCompletionMessageParam]", messages),
            stream=True,
            extra_body=options or None,
        ) as stream:
            for chunk in stream:
                for choice in chunk.choices[:1]:
                    finish_reason = choice.finish_reason or finish_reason
                    yield choice.delta.content or ""
        if finish_reason is None:
            raise self._failure("the stream ended before the answer did", "cut_off")
        if finish_reason == "length":
            raise self._failure("the server's token limit cut the answer off", "too_long")

    def _failure(self, error: object, reason: str) -> GeneratorError:
        where = f"{self._server.model} at {self._server.base_url}"
        told = re.sub(r"\s+", " ", str(error))[:300]
        key = self._server.api_key
        if key and key.get_secret_value():
            told = told.replace(key.get_secret_value(), "***")  # some servers repeat it
        return GeneratorError(f"answer model {self.name!r} ({where}): {told}", reason)


def without_thoughts(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces without a leading `<think>…</think>`, which reasoning models put into the text."""
    held = ""
    answering = False
    for piece in pieces:
        if answering:
            yield piece
            continue
        held = (held + piece).lstrip()
        if held.startswith(THINKING):
            _, ended, held_after = held.partition(ANSWERING)
            answering = bool(ended)
            yield held_after if answering else ""
        elif not THINKING.startswith(held):
            answering = True
            yield held
        else:
            yield ""
    if not answering and not held.startswith(THINKING):
        yield held


def _reason_of(error: Exception) -> str:
    import openai

    if isinstance(error, openai.APITimeoutError):
        return "timeout"
    if isinstance(error, openai.APIConnectionError):
        return "unreachable"
    if isinstance(error, openai.RateLimitError):
        return "rate_limited"
    if isinstance(error, openai.APIStatusError):
        return "server_error" if error.status_code >= 500 else "refused"
    return "failed"
