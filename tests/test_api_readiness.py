"""The service while it opens its index, and when it cannot."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from api import create_app
from api.messages import MESSAGES
from rag.config import Settings
from rag.errors import EmptyCorpusError
from tests.fake_assistant import FakeAssistant

QUESTION = "SQSの可視性タイムアウトは何秒？"


def test_service_that_is_still_opening_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_open = threading.Event()

    class Slow:
        @classmethod
        def open(cls, settings: Settings) -> FakeAssistant:
            may_open.wait(10)
            return FakeAssistant()

    monkeypatch.setitem(sys.modules, "rag.assistant", SimpleNamespace(Assistant=Slow))
    with TestClient(create_app(Settings(index=tmp_path))) as client:
        assert client.get("/healthz").status_code == 200
        for response in (
            client.get("/readyz"),
            client.post("/api/search", json={"question": QUESTION}),
        ):
            assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
        assert MESSAGES["not_ready"][1] in client.get("/").text
        may_open.set()
        deadline = 200
        while client.get("/readyz").status_code != 200 and deadline:
            deadline -= 1
            threading.Event().wait(0.01)
        assert client.post("/api/search", json={"question": QUESTION}).status_code == 200


def test_service_that_cannot_open_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        @classmethod
        def open(cls, settings: Settings) -> FakeAssistant:
            raise EmptyCorpusError("no such folder")

    monkeypatch.setitem(sys.modules, "rag.assistant", SimpleNamespace(Assistant=Failing))
    with TestClient(create_app(Settings(index=tmp_path))) as client:
        response = client.get("/readyz")
        for _ in range(200):
            if response.json()["error"]["code"] != "not_ready":
                break
            response = client.get("/readyz")
    assert response.json()["error"]["code"] == "empty_corpus"
