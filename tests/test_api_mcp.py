"""The notes as MCP tools, seen by the official client: a real server, a real process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi.testclient import TestClient
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult, TextContent

from api import create_app
from api.mcp.results import PlaceId
from rag.config import Settings
from tests.fake_assistant import FakeAssistant
from tests.servers import serving
from tests.test_snapshot import folder_of

T = TypeVar("T")
QUESTION = "SQSの可視性タイムアウトは何秒？"
TOOLS = {"search", "fetch", "ask_notes", "get_passage"}
HANDSHAKE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    },
}
ACCEPT = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def assistant() -> FakeAssistant:
    return FakeAssistant()


@pytest.fixture(scope="module")
def server(assistant: FakeAssistant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service's address."""
    settings = Settings(index=tmp_path_factory.mktemp("index"), port=8123)
    with serving(create_app(settings, assistant)) as url:
        yield url


def with_client(server: str | StdioServerParameters, use: Callable[[Client], Awaitable[T]]) -> T:
    """What `use` makes of the official client, connected to the service or the program."""
    where = f"{server}/mcp" if isinstance(server, str) else server

    async def connect() -> T:
        async with Client(where) as client:
            return await use(client)

    return asyncio.run(connect())


def call(server: str | StdioServerParameters, tool: str, **arguments: object) -> CallToolResult:
    return with_client(server, lambda client: client.call_tool(tool, arguments))


def content(result: CallToolResult) -> Any:  # noqa: ANN401  (whatever the tool returns)
    """The structured content, which also stands in the one text as JSON."""
    assert not result.is_error, result.content
    (block,) = result.content
    assert isinstance(block, TextContent)
    assert json.loads(block.text) == result.structured_content
    return result.structured_content


def told(result: CallToolResult) -> str:
    assert result.is_error
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def test_tools_say_what_they_return_and_that_they_change_nothing(server: str) -> None:
    listed = with_client(server, lambda client: client.list_tools()).tools
    assert {tool.name for tool in listed} == TOOLS
    for tool in listed:
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is True
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        assert tool.description


def test_search_and_fetch_have_the_shapes_that_chatgpt_asks_for(
    server: str, assistant: FakeAssistant
) -> None:
    places = content(call(server, "search", query=QUESTION))
    assert set(places) == {"results"}
    first = places["results"][0]
    assert set(first) == {"id", "title", "url"}
    assert first["title"] == "Amazon SQS › Amazon SQS › 可視性タイムアウト"

    fetched = content(call(server, "fetch", id=first["id"]))
    assert set(fetched) == {"id", "title", "text", "url", "metadata"}
    assert (fetched["id"], fetched["url"]) == (first["id"], first["url"])
    assert fetched["text"] in assistant.document("aws/sqs.md").text
    assert fetched["text"].startswith("## 可視性タイムアウト")
    assert fetched["metadata"]["passage"] in fetched["text"]
    assert fetched["metadata"]["tags"] == "SAP-C02, DOP-C02"
    assert {type(value) for value in fetched["metadata"].values()} == {str}


def test_a_place_opens_on_the_page_of_the_service(server: str) -> None:
    url = content(call(server, "search", query=QUESTION))["results"][0]["url"]
    assert url.startswith("http://127.0.0.1:8123/notes/aws/sqs.md?start=")
    page = httpx2.get(server + url.removeprefix("http://127.0.0.1:8123"))
    assert page.status_code == 200
    assert "<mark>" in page.text


def test_the_id_of_a_note_fetches_all_of_it(server: str, assistant: FakeAssistant) -> None:
    fetched = content(call(server, "fetch", id="aws/kms.md"))
    assert fetched["text"] == assistant.document("aws/kms.md").text
    assert fetched["metadata"]["complete"] == "true"


def test_a_note_too_long_for_one_reply_is_cut_around_the_passage(tmp_path: Path) -> None:
    line = "・長いノートの行である。\n"
    text = "# 長い\n" + line * 9_000
    app = create_app(Settings(index=tmp_path / "index"), FakeAssistant({"long.md": text}))
    start = len(text) // 2
    with serving(app) as url:
        place = PlaceId("long.md", (start, start + 20))
        fetched = content(call(url, "fetch", id=str(place)))
    assert fetched["metadata"]["complete"] == "false"
    assert len(fetched["text"]) == 60_000
    assert fetched["metadata"]["passage"] == text[start : start + 20]
    assert fetched["text"] == text[start - 29_990 : start + 30_010]


def test_an_answer_cites_the_words_of_the_notes(server: str, assistant: FakeAssistant) -> None:
    answer = content(call(server, "ask_notes", question=QUESTION))
    assert not answer["refused"]
    assert answer["answer"].endswith(f"[{answer['statements'][-1]['citation_numbers'][0]}]")
    for cited in answer["citations"]:
        text = assistant.document(cited["doc_id"]).text
        assert text[cited["start_index"] : cited["end_index"]] == cited["quote"]
        assert urlsplit(cited["url"]).netloc == "127.0.0.1:8123"


def test_earlier_questions_and_tags_reach_the_library(
    server: str, assistant: FakeAssistant
) -> None:
    call(server, "ask_notes", question="最大は？", history=[QUESTION], tags=["DOP-C02"])
    assert assistant.asked[-1] == ("最大は？", (QUESTION,), ("DOP-C02",), None)


def test_a_refusal_says_so_and_names_what_is_near(server: str) -> None:
    answer = content(call(server, "ask_notes", question="東京の天気は？"))
    assert answer["refused"]
    assert answer["answer"].startswith("ノートに見つかりません。")
    assert (answer["statements"], answer["citations"]) == ([], [])
    assert 1 <= len(answer["nearest"]) <= 3


def test_a_citation_can_be_seen_in_its_place(server: str, assistant: FakeAssistant) -> None:
    (cited, *_) = content(call(server, "ask_notes", question=QUESTION))["citations"]
    place = {key: cited[key] for key in ("doc_id", "start_index", "end_index")}
    passage = content(call(server, "get_passage", **place, context_chars=10))
    text = assistant.document(cited["doc_id"]).text
    whole = passage["before"] + passage["text"] + passage["after"]
    assert passage["text"] == cited["quote"]
    assert whole == text[cited["start_index"] - 10 : cited["end_index"] + 10]
    assert (passage["start_line"], passage["end_line"]) == (
        text.count("\n", 0, cited["start_index"]) + 1,
        text.count("\n", 0, cited["end_index"]) + 1,
    )
    assert passage["headings"] == cited["headings"]


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("search", {"query": " "}, "the question is empty"),
        ("search", {}, "query"),
        ("fetch", {"id": "nowhere.md"}, "no note 'nowhere.md'"),
        ("fetch", {"id": "aws/sqs.md?start=5&end=99999"}, "no span 5–99999 in 'aws/sqs.md'"),
        ("get_passage", {"doc_id": "memo.txt", "start_index": 9, "end_index": 9}, "no span 9–9"),
        ("ask_notes", {"question": "モデル停止"}, "the answer model broke off"),
    ],
)
def test_a_mistake_is_told_so_that_the_agent_can_mend_it(
    server: str, tool: str, arguments: dict[str, object], words: str
) -> None:
    assert words in told(call(server, tool, **arguments))


def test_an_unknown_failure_shows_nothing_of_its_inside(server: str) -> None:
    words = told(call(server, "ask_notes", question="未知の失敗"))
    assert words == "Error executing tool ask_notes"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8123"}, 200),
        ({"host": "localhost:8123", "origin": "http://localhost:8123"}, 200),
        ({"origin": "http://localhost:8123"}, 403),
        ({"host": "rebound.example"}, 421),
        ({"host": "127.0.0.1.rebound.example"}, 421),
        ({"origin": "https://elsewhere.example"}, 403),
    ],
)
def test_another_sites_name_is_refused(server: str, headers: dict[str, str], status: int) -> None:
    answer = httpx2.post(f"{server}/mcp", json=HANDSHAKE, headers=ACCEPT | headers)
    assert answer.status_code == status


def test_the_public_name_is_let_in_and_named_in_urls(tmp_path: Path) -> None:
    settings = Settings(index=tmp_path, host="0.0.0.0", public_url="https://notes.example/")
    with TestClient(create_app(settings, FakeAssistant())) as client:
        for host, status in [("notes.example", 200), ("127.0.0.1:8000", 200), ("0.0.0.0", 421)]:
            answer = client.post("/mcp", json=HANDSHAKE, headers=ACCEPT | {"host": host})
            assert answer.status_code == status, host


def test_a_form_of_another_page_cannot_call(server: str) -> None:
    answer = httpx2.post(f"{server}/mcp", content=json.dumps(HANDSHAKE), headers=ACCEPT)
    assert answer.status_code == 400


def test_the_application_can_be_started_a_second_time(tmp_path: Path) -> None:
    app = create_app(Settings(index=tmp_path), FakeAssistant())
    for _ in range(2):
        with TestClient(app, base_url="http://localhost") as client:
            answer = client.post("/mcp", json=HANDSHAKE, headers=ACCEPT)
            assert answer.json()["result"]["serverInfo"]["name"] == "kotae"


STARTED = """
import sys
from fastapi.testclient import TestClient
from api import create_app
from rag.config import Settings
from tests.fake_assistant import FakeAssistant

with TestClient(create_app(Settings(), FakeAssistant()), base_url="http://localhost") as client:
    client.get("/healthz").raise_for_status()
    before = "mcp" in sys.modules
    client.post("/mcp", json={}, headers={"accept": "application/json, text/event-stream"})
    print(before, "mcp" in sys.modules)
"""


def test_a_start_of_the_service_does_not_wait_for_what_only_mcp_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False True\n"


def test_a_broken_installation_is_told_to_whoever_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(tools: object) -> None:
        raise ImportError("half of the package is missing")

    monkeypatch.setattr("api.mcp.server.create_mcp_server", fail)
    with TestClient(create_app(Settings(index=tmp_path), FakeAssistant())) as client:
        for _ in range(2):
            answer = client.post("/mcp", json=HANDSHAKE, headers=ACCEPT)
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
        assert client.get("/healthz").status_code == 200


def test_without_the_package_the_service_runs_and_has_no_such_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.mcp.find_spec", lambda name: None)
    with TestClient(create_app(Settings(index=tmp_path), FakeAssistant())) as client:
        assert client.post("/mcp", json=HANDSHAKE).status_code == 404
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "place", [PlaceId("a.md"), PlaceId("aws/a?b.md"), PlaceId("題?start=1&end=2", (3, 4))]
)
def test_an_id_names_its_place_again(place: PlaceId) -> None:
    assert place.span is None or PlaceId.parse(str(place)) == place
    assert PlaceId.parse(place.doc_id + "?start=3&end=4") == PlaceId(place.doc_id, (3, 4))


PROGRAM = """
import sys
from rag import embedding
from tests.fakes import BigramEmbedder

def open_noisily(name, progress):
    print("printed by a library while it loads")
    sys.stdout.flush()
    return BigramEmbedder()

embedding.EMBEDDERS["bigram"] = open_noisily
from rag.cli import main
main()
"""
"""The command with an embedder that is ready at once, and prints where it should not."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> StdioServerParameters:
    """`kotae mcp` over a folder of notes; its index is not there yet."""
    folder = tmp_path_factory.mktemp("stdio")
    (folder / "notes" / "aws").mkdir(parents=True)
    for doc_id in ("aws/sqs.md", "aws/kms.md"):
        text = FakeAssistant().document(doc_id).text
        (folder / "notes" / doc_id).write_text(text, encoding="utf-8")
    arguments = ["mcp", "--corpus", str(folder / "notes"), "--index", str(folder / "index")]
    variables = {"KOTAE_EMBEDDER": "bigram", "KOTAE_ANSWER_THRESHOLD": "0"}
    return StdioServerParameters(
        command=sys.executable,
        args=["-c", PROGRAM, *arguments],
        env=variables | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        cwd=folder,
    )


@pytest.mark.slow
def test_a_program_that_starts_kotae_gets_the_tools(program: StdioServerParameters) -> None:
    async def use(client: Client) -> tuple[set[str], Any, Any]:
        names = {tool.name for tool in (await client.list_tools()).tools}
        found = content(await client.call_tool("search", {"query": "可視性タイムアウト"}))
        answer = await client.call_tool("ask_notes", {"question": "可視性タイムアウトは何秒？"})
        return names, found["results"][0], content(answer)

    names, place, answer = with_client(program, use)
    assert names == TOOLS
    assert program.cwd is not None
    note = Path(program.cwd).resolve() / "notes" / "aws" / "sqs.md"
    assert place["url"].startswith(f"{note.as_uri()}#L")
    assert answer["citations"][0]["quote"] in note.read_text(encoding="utf-8")
    assert answer["citations"][0]["url"].startswith(note.as_uri())


def run_program(program: StdioServerParameters, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program.command, *program.args],
        input=text,
        env=os.environ | (program.env or {}),
        cwd=program.cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_stdout_carries_nothing_but_the_protocol(program: StdioServerParameters) -> None:
    search = {"name": "search", "arguments": {"query": "キュー"}}
    messages = [
        HANDSHAKE,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": search},
    ]
    process = subprocess.Popen(
        [program.command, *program.args],
        env=os.environ | (program.env or {}),
        cwd=program.cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for message in messages:
        process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()
    answers = [json.loads(process.stdout.readline()) for _ in range(2)]
    rest, err = process.communicate(timeout=60)  # stdin ends
    assert [answer["id"] for answer in answers] == [1, 2]
    assert rest == ""
    assert process.returncode == 0
    assert "printed by a library while it loads" in err
    assert "Kotae → MCP" in err


def test_a_wrong_setting_is_told_before_anything_is_served(
    program: StdioServerParameters,
) -> None:
    assert program.env is not None
    wrong = program.model_copy(update={"env": program.env | {"KOTAE_TOP_K": "99"}})
    done = run_program(wrong, "")
    assert (done.returncode, done.stdout) == (2, "")
    assert "top_k = '99'" in done.stderr


@pytest.mark.slow
def test_an_index_that_does_not_open_is_told_to_the_agent(
    program: StdioServerParameters, tmp_path: Path
) -> None:
    assert program.cwd is not None
    with_client(program, lambda client: client.call_tool("search", {"query": "キュー"}))
    index = Path(program.cwd) / "index"
    broken = tmp_path / "index"
    index_folder = folder_of(index)
    broken.mkdir()
    (broken / "CURRENT").write_text((index / "CURRENT").read_text(encoding="utf-8"))
    (broken / index_folder.name).mkdir()
    arguments = [*program.args[:-1], str(broken)]
    result = call(program.model_copy(update={"args": arguments}), "search", query="キュー")
    assert "run `kotae index`" in told(result)
