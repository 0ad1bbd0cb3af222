"""OpenAI's chat completions over the notes: /v1/chat/completions and /v1/models.

Citations come three ways at once: `[n]` in the text with a list of sources below it, OpenAI's
`annotations`, and one `kotae` object with everything known. Indexes count Unicode code points.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.answer_text import AnswerText, write_answer
from api.answering import CurrentAssistant, check_model
from api.chat_schemas import (
    DEFAULT_MODEL,
    ChatCompletionRequest,
    ModelJson,
    ModelsResponse,
    OpenAIErrorResponse,
)
from api.desk import CurrentDesk, kind_of, while_connected
from api.errors import log_unknown_error, openai_error
from api.messages import status_and_message
from api.metrics import CurrentMetrics
from api.routes import CurrentFeedback, last_answer, preceded_by, watch_answer
from api.schemas import MAX_HISTORY, AskResponse
from api.streaming import EVENT_SCHEMA, PING, Piece, event_stream
from rag.errors import RagError
from rag.types import Answer

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": OpenAIErrorResponse}
    for status in (400, 401, 403, 404, 408, 413, 421, 422, 429, 431, 500, 502, 503, 504)
}
router = APIRouter(prefix="/v1", responses=ERRORS, tags=["OpenAI"])


@dataclass(frozen=True, slots=True)
class Completion:
    """What all chunks of one completion have in common."""

    completion_id: str
    created: int
    model: str
    base_url: str

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The completion in one piece."""
        written = write_answer(answer, self.base_url)
        message = {
            "role": "assistant",
            "content": written.text,
            "refusal": None,
            "annotations": written.annotations,
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": usage_of(answer, written),
            "kotae": AskResponse.of(answer).model_dump(),
        }

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        """A piece of the completion."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def chunks_of(self, answer: Answer, include_usage: bool) -> Iterator[dict[str, Any]]:
        """The answer's text, then its citations with the end, then perhaps the usage."""
        written = write_answer(answer, self.base_url)
        for piece in written.pieces:
            yield self.chunk({"content": piece})
        last = self.chunk({"annotations": written.annotations}, "stop")
        yield {**last, "kotae": AskResponse.of(answer).model_dump()}
        if include_usage:
            head = self._head("chat.completion.chunk")
            yield {**head, "choices": [], "usage": usage_of(answer, written)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.completion_id,
            "object": kind,
            "created": self.created,
            "model": self.model,
        }


def usage_of(answer: Answer, written: AnswerText) -> dict[str, int]:
    """Characters, not tokens: not every answer model has tokens, and clients want numbers."""
    prompt, completion = len(answer.question), len(written.text)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


@router.get("/models", summary="回答モデルの一覧")
def models(assistant: CurrentAssistant) -> ModelsResponse:
    """`kotae` for the default, and every model by its name."""
    return ModelsResponse(data=[ModelJson(id=name) for name in (DEFAULT_MODEL, *assistant.models)])


@router.post(
    "/chat/completions",
    summary="OpenAI 互換のチャット",
    responses={
        200: {
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "text/event-stream": {"schema": EVENT_SCHEMA},
            }
        }
    },
)
async def chat_completions(
    request: Request,
    body: ChatCompletionRequest,
    assistant: CurrentAssistant,
    feedback: CurrentFeedback,
    metrics: CurrentMetrics,
    desk: CurrentDesk,
) -> Response:
    """Answers the last message of the user; the earlier ones are the history."""
    *history, question = body.questions()
    named = None if body.model == DEFAULT_MODEL else body.model
    history = history[-MAX_HISTORY:]
    model = check_model(assistant, named)
    stream = assistant.stream(question, history=history, model=model)
    watched = watch_answer(stream, history, feedback, metrics)
    pieces = desk.attend(kind_of(assistant, model), watched)
    base_url = str(request.base_url).rstrip("/")
    if not body.stream:
        answer = await while_connected(request, last_answer(pieces))
        completion = _completion(answer.answer_id, body.model, base_url)
        return _json(completion.whole(answer))
    first = await while_connected(request, anext(pieces))
    completion = _completion(f"{time.time_ns():x}", body.model, base_url)
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    return event_stream(_completion_events(preceded_by(first, pieces), completion, include_usage))


async def _completion_events(
    pieces: AsyncIterator[Piece | None], completion: Completion, include_usage: bool
) -> AsyncIterator[bytes]:
    """The checked answer in chunks.

    A client cannot take text back, so what the model wrote is held until its citations are checked.
    """
    yield _data(completion.chunk({"role": "assistant", "content": ""}))
    try:
        async for piece in pieces:
            if isinstance(piece, Answer):
                for chunk in completion.chunks_of(piece, include_usage):
                    yield _data(chunk)
            elif piece is None:
                yield PING
    except RagError as error:
        yield _data(_stream_error(error.code))
    except Exception as error:
        log_unknown_error(error)
        yield _data(_stream_error("internal"))
    yield b"data: [DONE]\n\n"


def _stream_error(code: str) -> dict[str, Any]:
    status, message = status_and_message(code)
    return openai_error(code, message, status)


def _completion(answer_id: str, model: str, base_url: str) -> Completion:
    return Completion(f"chatcmpl-{answer_id}", int(time.time()), model, base_url)


def _json(data: dict[str, Any]) -> Response:
    return Response(json.dumps(data, ensure_ascii=False), media_type="application/json")


def _data(data: dict[str, Any] | Sequence[Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
