"""An OpenAI-compatible server over real HTTP that misbehaves as it is told to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rag.config import ModelSettings

CUT = "\0cut"
"""Instead of a piece: the connection breaks off."""
END = "\0end"
"""Instead of a piece: the body ends in order, but the answer does not."""
SILENCE = "\0silence"
"""Instead of a piece: nothing more comes until the server is closed."""
ENDLESS = "\0endless"
"""Instead of a piece: the piece before it again and again."""
GARBAGE = "\0garbage"
"""Instead of a piece: an event that is no JSON."""
LENGTH = "\0length"
"""Instead of a piece: the server's token limit is reached."""


@dataclass
class AnswerServer:
    """What it answers with, and what it was asked; `statuses` are used up before any answer."""

    pieces: Sequence[str] = ()
    statuses: list[int] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    reader_left: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    redirect_to: str = ""

    def model(self, **changes: Any) -> ModelSettings:  # noqa: ANN401
        """Settings of a model on this server that is not tried again."""
        return ModelSettings.model_validate(
            {"base_url": self.url, "model": "test", "api_key": "himitsu", "max_retries": 0}
            | changes
        )


class _Handler(BaseHTTPRequestHandler):
    """One request; the server it belongs to carries the script."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def do_POST(self) -> None:
        script: AnswerServer = self.server.script  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["content-length"]))
        script.requests.append(json.loads(body))
        script.keys.append(self.headers["authorization"])
        if script.statuses:
            self._refuse(script.statuses.pop(0))
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            self._stream(script)
        except OSError:
            script.reader_left.set()

    def _refuse(self, status: int) -> None:
        told = json.dumps({"error": {"message": "no, himitsu", "code": "no"}}).encode()
        self.send_response(status)
        if status == 307:
            self.send_header("location", self.server.script.redirect_to)  # type: ignore[attr-defined]
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def _stream(self, script: AnswerServer) -> None:
        for number, piece in enumerate(script.pieces):
            if piece == CUT:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if piece == END:
                return
            if piece == SILENCE:
                script.closing.wait()
                return
            if piece == GARBAGE:
                self.wfile.write(b"data: {not json\n\n")
            elif piece == LENGTH:
                self._event("", "length")
                return
            elif piece == ENDLESS:
                while not script.closing.wait(0.002):
                    self._event(script.pieces[number - 1])
                return
            else:
                self._event(piece)
        self._event("", "stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, content: str, finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}
        chunk = {
            "id": "x",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "test",
            "choices": [choice],
        }
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()


@contextmanager
def answer_server(*pieces: str, statuses: Sequence[int] = ()) -> Iterator[AnswerServer]:
    """A server that streams `pieces`, after refusing with `statuses`; it is gone afterwards."""
    script = AnswerServer(pieces, list(statuses))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.script = script  # type: ignore[attr-defined]
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield script
    finally:
        script.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
