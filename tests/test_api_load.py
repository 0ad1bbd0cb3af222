"""The service under load and with clients that misbehave, over real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api import create_app
from api.limits import MAX_BODY_BYTES
from api.messages import MESSAGES
from api.security import HEADERS
from api.serving import server_options
from rag.config import Settings
from rag.types import Answer, SearchResult
from tests.answer_server import answer_server
from tests.fake_assistant import FakeAssistant
from tests.fake_slack import wait_until
from tests.servers import serving

QUESTION = {"question": "SQSの可視性タイムアウトは何秒？"}
CHAT = {"messages": [{"role": "user", "content": QUESTION["question"]}]}


class HeldAssistant(FakeAssistant):
    """Answers of its model `slow` wait, silent but for signs of life, until `go` is set."""

    def __init__(self) -> None:
        super().__init__(models=("extractive", "slow"))
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)

    def stream(
        self,
        question: str,
        *,
        history: Sequence[str] = (),
        top_k: int = 5,
        tags: Sequence[str] = (),
        model: str | None = None,
    ) -> Iterator[SearchResult | str | Answer]:
        pieces = super().stream(question, history=history, top_k=top_k, tags=tags, model=model)
        yield next(pieces)
        if model == "slow":
            self.begun.release()
            try:
                while not self.go.wait(0.02):
                    yield ""
            finally:
                self.closed.release()
        yield from pieces


@contextmanager
def served(folder: Path, assistant: FakeAssistant, **changes: Any) -> Iterator[str]:  # noqa: ANN401
    settings = Settings(index=folder, **changes)
    with serving(create_app(settings, assistant), **server_options(settings)) as url:
        yield url


@pytest.fixture
def held() -> Iterator[HeldAssistant]:
    assistant = HeldAssistant()
    yield assistant
    assistant.go.set()


def post(url: str, path: str, body: object) -> httpx2.Response:
    return httpx2.post(url + path, json=body, timeout=30)


def in_background(stack: ExitStack, work: Callable[[], Any], times: int) -> list[Any]:
    pool = stack.enter_context(ThreadPoolExecutor(times))
    return [pool.submit(work) for _ in range(times)]


def metric(url: str, name: str) -> float:
    lines = httpx2.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


# Back-pressure


def test_who_finds_no_place_is_told_to_come_again_and_all_others_are_answered(
    tmp_path: Path, held: HeldAssistant
) -> None:
    asked = QUESTION | {"model": "slow"}
    limits = {"model_answers_at_work": 2, "questions_waiting": 3, "queue_seconds": 30}
    with served(tmp_path, held, **limits) as url, ExitStack() as stack:
        waiting = in_background(stack, lambda: post(url, "/api/ask", asked), 5)
        wait_until(lambda: metric(url, 'kotae_questions_waiting{kind="model"}') == 3, 10)
        assert metric(url, 'kotae_questions_at_work{kind="model"}') == 2
        for path, body in (
            ("/api/ask", asked),
            ("/api/ask", asked | {"stream": True}),
            ("/v1/chat/completions", CHAT | {"model": "slow"}),
            ("/v1/chat/completions", CHAT | {"model": "slow", "stream": True}),
        ):
            refused = post(url, path, body)
            assert refused.status_code == 503
            assert 1 <= int(refused.headers["retry-after"]) <= 30
            error = refused.json()["error"]
            assert (error["code"], error["message"]) == ("busy", MESSAGES["busy"][1])
            assert ("param" in error) == path.startswith("/v1/")
        # The model hangs; searches and answers from the notes go on.
        assert post(url, "/api/search", QUESTION).status_code == 200
        assert post(url, "/api/ask", QUESTION).json()["model"] == "extractive"
        held.go.set()
        assert [done.result().status_code for done in waiting] == [200] * 5
        wait_until(lambda: metric(url, "kotae_questions_at_work") == 0, 10)


def test_nobody_waits_for_ever(tmp_path: Path, held: HeldAssistant) -> None:
    asked = QUESTION | {"model": "slow"}
    with (
        served(tmp_path, held, model_answers_at_work=1, queue_seconds=0.2) as url,
        ExitStack() as stack,
    ):
        (first,) = in_background(stack, lambda: post(url, "/api/ask", asked), 1)
        assert held.begun.acquire(timeout=10)
        assert post(url, "/api/ask", asked).json()["error"]["code"] == "busy"
        held.go.set()
        assert first.result().status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_may_take_so_long_and_gives_its_place_back(
    tmp_path: Path, held: HeldAssistant, stream: bool
) -> None:
    asked = QUESTION | {"model": "slow", "stream": stream}
    with served(tmp_path, held, question_timeout_seconds=0.3) as url:
        answer = post(url, "/api/ask", asked)
        assert held.closed.acquire(timeout=10)
        wait_until(lambda: metric(url, "kotae_questions_at_work") == 0, 10)
    assert answer.status_code == (200 if stream else 504)
    assert '"code": "timeout"' in answer.text or '"code":"timeout"' in answer.text


@pytest.mark.parametrize("path", ["/api/ask", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_when_the_client_leaves_its_work_stops(
    tmp_path: Path, held: HeldAssistant, path: str, stream: bool
) -> None:
    body = json.dumps(
        (QUESTION if path == "/api/ask" else CHAT) | {"model": "slow", "stream": stream}
    ).encode()
    with served(tmp_path, held) as url:
        with connected(url) as client:
            client.sendall(request("POST", path, body))
            assert held.begun.acquire(timeout=10)
        assert held.closed.acquire(timeout=10)
        wait_until(lambda: metric(url, "kotae_questions_at_work") == 0, 10)
        assert not held.go.is_set()


def test_who_leaves_while_waiting_makes_room(tmp_path: Path, held: HeldAssistant) -> None:
    body = json.dumps(QUESTION | {"model": "slow"}).encode()
    with served(tmp_path, held, model_answers_at_work=1) as url, connected(url) as first:
        first.sendall(request("POST", "/api/ask", body))
        assert held.begun.acquire(timeout=10)
        with connected(url) as second:
            second.sendall(request("POST", "/api/ask", body))
            wait_until(lambda: metric(url, "kotae_questions_waiting") == 1, 10)
        wait_until(lambda: metric(url, "kotae_questions_waiting") == 0, 10)


# Clients that misbehave


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        yield client


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    fields = {
        "host": "localhost",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\nhost: localhost\r\n",
        request("GET", "/healthz") + b"GET / HT",
    ],
    ids=["nothing", "half a head", "half of a second head"],
)
def test_a_silent_client_is_cut_off(tmp_path: Path, said: bytes) -> None:
    with (
        served(tmp_path, FakeAssistant(), client_timeout_seconds=0.3) as url,
        connected(url) as client,
    ):
        client.sendall(said)
        with suppress(ConnectionResetError):
            read_all(client)
        assert httpx2.get(f"{url}/healthz").status_code == 200


def test_a_head_that_drips_is_cut_off_too(tmp_path: Path) -> None:
    with (
        served(tmp_path, FakeAssistant(), client_timeout_seconds=0.3) as url,
        connected(url) as client,
    ):

        def drip() -> None:
            client.sendall(b"GET / HTTP/1.1\r\n")
            for number in range(1000):
                client.sendall(f"x-{number}: a\r\n".encode())
                time.sleep(0.02)

        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            drip()


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    with (
        served(tmp_path, FakeAssistant(), client_timeout_seconds=0.3) as url,
        connected(url) as client,
    ):
        client.sendall(request("POST", "/api/search", content_length="50") + b'{"question"')
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"slow_request"' in answer


def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    huge = "a" * 30_000_000  # more than the buffers of both sides take
    assistant = FakeAssistant({"huge.txt": f"# 大きい\n{huge}"})
    with (
        served(tmp_path, assistant, client_timeout_seconds=0.3) as url,
        connected(url) as client,
    ):
        client.sendall(request("GET", "/api/documents/huge.txt"))
        client.recv(1, socket.MSG_PEEK)
        time.sleep(1)
        received = sum(map(len, iter(lambda: client.recv(1 << 20), b"")))
    assert 0 < received < len(huge)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: a\x00b\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000, 400, "invalid_http"),
        (request("GET", "/" + "a" * 17_000), 431, "headers_too_large"),
        (request("GET", "/healthz", big="a" * 17_000), 431, "headers_too_large"),
        (
            request("GET", "/healthz", b"", **dict.fromkeys(map("x{}".format, range(100)), "a")),
            431,
            "headers_too_large",
        ),
        (
            request("POST", "/api/ask", content_length=str(MAX_BODY_BYTES + 1)),
            413,
            "too_large",
        ),
    ],
)
def test_what_is_no_request_or_too_large_is_refused_in_the_one_shape(
    tmp_path: Path, sent: bytes, status: int, code: str
) -> None:
    with served(tmp_path, FakeAssistant()) as url, connected(url) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["error"]["code"] == code
    assert {name.lower() for name in HEADERS} <= {
        line.split(b":")[0].decode().lower() for line in head.splitlines()[1:]
    }


def test_a_body_without_a_length_is_read_no_further_than_the_limit(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 50_000

    with served(tmp_path, FakeAssistant()) as url:
        answer = httpx2.post(
            f"{url}/api/ask", content=chunks(), headers={"content-type": "application/json"}
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_json_nested_without_end_is_but_a_bad_request(tmp_path: Path) -> None:
    with served(tmp_path, FakeAssistant()) as url:
        for body in (b"[" * 400_000, b'{"question":' * 80_000):
            answer = httpx2.post(
                f"{url}/api/ask", content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 400, answer.text


# The end


def test_what_has_begun_is_finished_before_the_service_stops(
    tmp_path: Path, held: HeldAssistant
) -> None:
    with ExitStack() as outer:
        url = outer.enter_context(served(tmp_path, held, shutdown_seconds=20))
        with ExitStack() as stack:
            (asked,) = in_background(
                stack, lambda: post(url, "/api/ask", QUESTION | {"model": "slow"}), 1
            )
            assert held.begun.acquire(timeout=10)
            (stopped,) = in_background(stack, outer.close, 1)
            wait_until(lambda: not accepts(url), 10)
            assert not asked.done()
            held.go.set()
            assert asked.result().status_code == 200
            stopped.result(timeout=20)


def accepts(url: str) -> bool:
    try:
        with connected(url):
            return True
    except OSError:
        return False


PROGRAM = """
import sys
from pathlib import Path
import uvicorn
from api import create_app
from api.serving import server_options
from rag.config import Settings
from tests.fake_assistant import FakeAssistant

settings = Settings(index=Path(sys.argv[2]), shutdown_seconds=20)
assistant = FakeAssistant(pause_seconds=0.15)
options = server_options(settings)
uvicorn.run(create_app(settings, assistant), port=int(sys.argv[1]), **options)
"""


@pytest.mark.slow
def test_a_terminated_process_finishes_its_answers_and_ends_well(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(port), str(tmp_path)], env=environment
    )
    try:
        wait_until(lambda: accepts(url), 60)
        with httpx2.stream("POST", f"{url}/api/ask", json=QUESTION | {"stream": True}) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: hits"
            program.send_signal(signal.SIGTERM)
            assert "event: done" in list(lines)
        assert program.wait(20) in (0, -signal.SIGTERM)
    finally:
        program.kill()
        program.wait()


# The model's server


def test_a_model_is_called_nowhere_but_at_its_address() -> None:
    with answer_server("秘密") as inner, answer_server(statuses=[307]) as outer:
        outer.redirect_to = f"{inner.url}/chat/completions"
        generated = model_of(outer)
        with pytest.raises(Exception, match="307"):
            list(generated)
        assert len(outer.requests) == 1
        assert inner.requests == []


def model_of(server: Any) -> Iterator[str]:  # noqa: ANN401
    from rag.openai_generator import OpenAIGenerator
    from rag.prompting import Prompt

    generator = OpenAIGenerator("local", server.model(), Prompt(None), 5)
    return generator.generate("質問", [], [])
