"""OpenAI's JSON as far as it applies here: requests in, models and errors out."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool

from api.schemas import NOT_BLANK, Text
from rag.errors import QuestionError

DEFAULT_MODEL: Final = "kotae"
"""Stands for whichever answer model is the first."""


class OpenAIErrorBody(BaseModel):
    """What went wrong, as OpenAI says it."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorResponse(BaseModel):
    """OpenAI's shape of an error."""

    error: OpenAIErrorBody


class ContentPart(BaseModel):
    """A part of a message; only text is read."""

    model_config = ConfigDict(extra="ignore")

    type: str
    text: Text | None = None


A_QUESTION: Final[dict[str, JsonValue]] = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"const": "user"},
        "content": {
            "anyOf": [
                {"type": "string", **NOT_BLANK},
                {
                    "type": "array",
                    "contains": {
                        "required": ["text"],
                        "properties": {"text": {"type": "string", **NOT_BLANK}},
                    },
                },
            ]
        },
    },
}


class ChatMessage(BaseModel):
    """A message; those of the user are the questions, all others are passed over."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: Text | list[ContentPart] | None = None

    @property
    def text(self) -> str:
        """Its text, parts joined."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or () if part.text)


class StreamOptions(BaseModel):
    """What to add to a stream."""

    model_config = ConfigDict(extra="ignore")

    include_usage: StrictBool = False


class ChatCompletionRequest(BaseModel):
    """OpenAI's request; what does not apply here (temperature, tools, …) is passed over."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "model": DEFAULT_MODEL,
                    "messages": [{"role": "user", "content": "SQSの可視性タイムアウトとは？"}],
                }
            ]
        },
    )

    model: Text = DEFAULT_MODEL
    messages: list[ChatMessage] = Field(min_length=1, json_schema_extra={"contains": A_QUESTION})
    stream: StrictBool | None = False
    stream_options: StreamOptions | None = None

    def questions(self) -> list[str]:
        """What the user wrote, oldest first; raises QuestionError if there is nothing."""
        written = [message.text for message in self.messages if message.role == "user"]
        questions = [text for text in written if text.strip()]
        if not questions:
            raise QuestionError("messages: no message of role 'user' with text")
        return questions


class ModelJson(BaseModel):
    """An answer model, as OpenAI lists it."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "kotae"


class ModelsResponse(BaseModel):
    """All answer models."""

    object: Literal["list"] = "list"
    data: list[ModelJson]
