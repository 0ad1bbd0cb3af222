"""A stand-in for Slack: its Web API and its deliveries, over real HTTP and a real socket.

It refuses what Slack refuses (limits, methods it does not know) and remembers what it was sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, Response

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"  # EXAMPLE, of Slack's documentation
TOKEN = "xoxb-test"
APP_TOKEN = "xapp-test"
BOT_USER = "UBOT"
BOT_ID = "BBOT"
TEAM = "T1"


@dataclass
class Call:
    """One call of the Web API; `ts` names the message that it posted."""

    method: str
    arguments: dict[str, Any]
    at: float = field(default_factory=time.monotonic)
    ts: str = ""


class FakeSlack:
    """One workspace: `api` is its Web API, to be served; `url` is where that listens."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.responses: list[dict[str, Any]] = []
        self.failures: dict[str, list[tuple[int, dict[str, Any], dict[str, str]]]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.api = FastAPI()
        self.api.post("/api/{method}")(self._answer_call)
        self.api.post("/respond")(self._take_response)
        self.api.websocket("/socket")(self._hold_socket)
        self.envelopes: queue.Queue[dict[str, Any]] = queue.Queue()
        self.acknowledged: list[dict[str, Any]] = []

    def fail_next(
        self, method: str, status: int, error: str, headers: dict[str, str] | None = None
    ) -> None:
        """The next call of the method is refused; several are refused in this order."""
        body = {"ok": False, "error": error}
        self.failures.setdefault(method, []).append((status, body, headers or {}))

    def calls_of(self, method: str) -> list[dict[str, Any]]:
        return [call.arguments for call in self.calls if call.method == method]

    @property
    def posts(self) -> list[dict[str, Any]]:
        return self.calls_of("chat.postMessage")

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What was posted as it stands now: an answer on a slow machine is edited in place."""
        edited = {call["ts"]: call for call in self.calls_of("chat.update")}
        posted = [call for call in self.calls if call.method == "chat.postMessage"]
        return [call.arguments | edited.get(call.ts, {}) for call in posted]

    async def _answer_call(self, method: str, request: Request) -> Response:
        if request.headers["content-type"].startswith("application/json"):
            arguments = await request.json()
        else:
            arguments = dict(parse_qsl((await request.body()).decode()))
        token = APP_TOKEN if method == "apps.connections.open" else TOKEN
        if request.headers.get("authorization") != f"Bearer {token}":
            return JSONResponse({"ok": False, "error": "invalid_auth"})
        self.calls.append(call := Call(method, arguments))
        if self.failures.get(method):
            status, body, headers = self.failures[method].pop(0)
            return JSONResponse(body, status, headers)
        result = self._result(method, arguments)
        call.ts = result.get("ts", "")
        return JSONResponse(result)

    def _result(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if method == "auth.test":
            return {
                "ok": True,
                "user": "kotae",
                "user_id": BOT_USER,
                "bot_id": BOT_ID,
                "team_id": TEAM,
            }
        if method in ("chat.postMessage", "chat.update"):
            error = message_error(arguments)
            ts = arguments.get("ts", f"1900000000.{next(self._numbers):06}")
            return {"ok": False, "error": error} if error else {"ok": True, "ts": ts}
        if method == "apps.connections.open":
            return {"ok": True, "url": self.url.replace("http", "ws") + "/socket"}
        if method in ("reactions.add", "reactions.remove"):
            return {"ok": True}
        return {"ok": False, "error": "unknown_method"}

    async def _hold_socket(self, socket: WebSocket) -> None:
        """Sends what is put into `envelopes`, one after the other, and takes what comes back."""
        await socket.accept()
        await socket.send_json({"type": "hello", "num_connections": 1})

        async def receive() -> None:
            while True:
                self.acknowledged.append(await socket.receive_json())

        receiving = asyncio.ensure_future(receive())
        try:
            while not receiving.done():
                with suppress(queue.Empty):
                    await socket.send_json(self.envelopes.get_nowait())
                await asyncio.sleep(0.01)
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    def send_over_socket(self, event: dict[str, Any], retry: int = 0) -> str:
        """Puts an event into the envelope of Socket Mode; gives the envelope's id."""
        envelope_id = f"envelope-{next(self._numbers)}"
        envelope = {"type": "events_api", "envelope_id": envelope_id, "payload": event}
        how = {"accepts_response_payload": False, "retry_attempt": retry, "retry_reason": ""}
        self.envelopes.put(envelope | how)
        return envelope_id

    async def _take_response(self, request: Request) -> Response:
        message = await request.json()
        error = message_error(message)
        self.responses.append(message)
        return Response(error or "ok", 500 if error else 200)

    # What Slack delivers

    def event(self, **fields: object) -> dict[str, Any]:
        """An event as Slack wraps it, with an id of its own; a mention by a person unless told."""
        with self._lock:
            number = next(self._numbers)
        event = {
            "type": "app_mention",
            "user": "U1",
            "channel": "C1",
            "channel_type": "channel",
            "ts": f"1700000000.{number:06}",
            "text": "",
            **fields,
        }
        return {
            "type": "event_callback",
            "team_id": TEAM,
            "api_app_id": "A1",
            "event_id": f"Ev{number}",
            "event_time": 1700000000,
            "event": event,
        }

    def command(self, text: str, trigger_id: str = "1.2.a") -> str:
        """A slash command's body."""
        fields = {
            "command": "/kotae",
            "text": text,
            "team_id": TEAM,
            "user_id": "U1",
            "channel_id": "C1",
            "trigger_id": trigger_id,
            "api_app_id": "A1",
            "response_url": f"{self.url}/respond",
        }
        return urlencode(fields)

    def press(self, element: dict[str, Any], button: str) -> str:
        """The body that follows a press on a feedback button of a message."""
        action = {
            "type": "feedback_buttons",
            "action_id": element["action_id"],
            "block_id": "b",
            "value": element[button]["value"],
        }
        payload = {
            "type": "block_actions",
            "actions": [action],
            "api_app_id": "A1",
            "team": {"id": TEAM},
            "user": {"id": "U1"},
            "channel": {"id": "C1"},
            "container": {"type": "message", "message_ts": "2.2", "thread_ts": "1.1"},
            "response_url": f"{self.url}/respond",
            "trigger_id": "3.4.b",
        }
        return urlencode({"payload": json.dumps(payload)})


def signed(
    body: str,
    secret: str = SECRET,
    at: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Content and headers as Slack signs them: https://docs.slack.dev/authentication/verifying-requests-from-slack"""
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"v0:{timestamp}:{body}".encode(), hashlib.sha256)
    kind = "json" if body.startswith("{") else "x-www-form-urlencoded"
    return {
        "content": body.encode(),
        "headers": {
            "Content-Type": f"application/{kind}",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": f"v0={digest.hexdigest()}",
            **(headers or {}),
        },
    }


def deliver(
    client: httpx.Client, delivery: dict[str, Any] | str, retry: int | None = None
) -> httpx.Response:
    """Sends a signed delivery to the bot."""
    headers = {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"}
    body = delivery if isinstance(delivery, str) else json.dumps(delivery)
    return client.post("/slack/events", **signed(body, headers=headers if retry else None))


def message_error(message: dict[str, Any]) -> str | None:
    """What Slack says to a message over its limits."""
    blocks = message.get("blocks") or []
    texts = [block["text"]["text"] for block in blocks if block["type"] == "section"]
    texts += [
        part["text"] for block in blocks for part in block.get("elements", ()) if "text" in part
    ]
    if len(blocks) > 50 or any(not 0 < len(text) <= 3000 for text in texts):
        return "invalid_blocks"
    if len(json.dumps(blocks, ensure_ascii=False)) > 13_200 + 2 * len(blocks):
        return "msg_blocks_too_long"
    return None if message.get("text") or blocks else "no_text"


def wait_until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    """Returns once it is so; fails when it does not become so."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen")
        time.sleep(0.01)


def shown_text(message: dict[str, Any]) -> str:
    """All text of a message's blocks, a line a block."""
    lines = []
    for block in message["blocks"]:
        parts = [block["text"]] if "text" in block else block["elements"]
        lines += [part["text"] for part in parts if "text" in part]
    return "\n".join(lines)
