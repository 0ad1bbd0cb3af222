"""A corpus folder, a browser and a model's answer used as an attacker would."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from fastapi.testclient import TestClient

from api import create_app
from rag.assistant import Assistant
from rag.config import Settings
from tests.answer_server import answer_server
from tests.fakes import install_fake_embedder, write_notes
from tests.servers import serving

SECRET = "門外不出のことば"
PATHS = [
    "../secret.md",
    "..%2fsecret.md",
    "%2e%2e/secret.md",
    "%2e%2e%2fsecret.md",
    "..%252fsecret.md",
    "....//secret.md",
    "..\\secret.md",
    "..%5csecret.md",
    "a/../../secret.md",
    "/secret.md",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    "inside.md%00",
    "secret.md%00.md",
    "..%c0%afsecret.md",
    "%ef%bc%8e%ef%bc%8e%ef%bc%8fsecret.md",
    "%e2%80%a4%e2%80%a4/secret.md",
    "out.md",
    "folder/secret.md",
    "../index/CURRENT",
    "../index/keys.json",
]
"""Ways out of a folder: plain, encoded once and twice, absolute, NUL, look-alikes, links."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    install_fake_embedder(monkeypatch)
    corpus = write_notes(tmp_path / "corpus", {"inside.md": "# 内側\n\nここは内側です。\n"})
    (tmp_path / "secret.md").write_text(f"# 外側\n\n{SECRET}\n", encoding="utf-8")
    (corpus / "out.md").symlink_to(tmp_path / "secret.md")
    (corpus / "folder").symlink_to(tmp_path)
    return Settings(corpus=corpus, index=tmp_path / "index", embedder="bigram")


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings, Assistant.open(settings))) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out_of_the_corpus(settings: Settings, path: str) -> None:
    # Over a socket, as it is: a client's library would tidy the path up first.
    with serving(create_app(settings, Assistant.open(settings))) as url:
        host, port = url.removeprefix("http://").split(":")
        for place in ("/notes/", "/api/documents/", "/static/", "/static/css/"):
            with socket.create_connection((host, int(port)), timeout=10) as client:
                head = f"GET {place}{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
                client.sendall(head.encode())
                answer = b"".join(iter(lambda client=client: client.recv(65536), b"")).decode()  # type: ignore[misc]
            assert answer.split(" ")[1] in ("404", "400"), place
            assert SECRET not in answer
            assert "root:" not in answer


def test_what_a_link_leads_to_is_not_found_by_searching(client: TestClient) -> None:
    found = client.post("/api/search", json={"question": SECRET}).text
    assert SECRET not in found.replace(f'"{SECRET}"', "")
    assert [note["doc_id"] for note in client.get("/api/documents").json()["documents"]] == [
        "inside.md"
    ]


@pytest.mark.parametrize("value", ["a%0d%0aset-cookie: x=1", "%0aset-cookie: x=1", "%00"])
def test_nothing_of_a_request_becomes_a_header(client: TestClient, value: str) -> None:
    for answer in (
        client.get(f"/sign-in?next=/notes/{value}", follow_redirects=False),
        client.get(f"/notes/{value}"),
        client.get("/healthz", headers={"x-request-id": unquote(value).replace("\x00", "\x01")}),
    ):
        assert "set-cookie" not in answer.headers
        assert {"\r", "\n", "\x00"}.isdisjoint("".join(answer.headers.values()))


def test_addresses_in_notes_and_answers_are_called_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake_embedder(monkeypatch)
    with answer_server("unused") as inner:
        address = inner.url.removesuffix("/v1")
        note = (
            f"# 内側\n\n![図]({address}/image.png) <img src='{address}/b.png'>\n"
            f"[参照]: {address}/c\n\n<link rel=stylesheet href='{address}/d.css'>"
            f"<iframe src='{address}/e'></iframe>キューの深さは10です。\n"
        )
        reply = f"キューの深さは10です。![x]({address}/f.png)[1]\n<img src='{address}/g.png'>[1]"
        with answer_server(reply) as model:
            corpus = write_notes(tmp_path / "corpus", {"inside.md": note})
            settings = Settings(
                corpus=corpus,
                index=tmp_path / "index",
                embedder="bigram",
                models={"local": model.model()},
                model="local",
                answer_threshold=0,
            )
            with TestClient(create_app(settings, Assistant.open(settings))) as client:
                answer = client.post("/api/ask", json={"question": "キューの深さは？"}).json()
                page = client.get("/notes/inside.md").text
            assert len(model.requests) == 1
        assert inner.requests == []
        for html in [page, *(statement["html"] for statement in answer["statements"])]:
            assert not re.search(rf"(?:src|srcset|data|action)\s*=\s*[\"']?{address}", html)
            assert not re.search(rf"<link[^>]+{address}|<iframe|<object", html)
