"""Who is let in: keys, sessions, names, origins, and how often."""

from __future__ import annotations

import hmac
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import chat_completions, create_app, health, pages, routes
from api.access import keys as keys_module
from api.access import sign_in as sign_in_page
from api.access.gate import check_exposure
from api.access.hosts import is_loopback
from api.access.keys import KeyStore, open_keys
from api.access.rates import MAX_BUCKETS, RateLimit, caller_of
from api.access.sessions import MAX_SESSIONS, SessionStore
from api.security import HEADERS
from rag.config import Settings
from rag.errors import ConfigError
from tests.fake_assistant import FakeAssistant

QUESTION = {"question": "SQSの可視性タイムアウトは何秒？"}
CHAT = {"messages": [{"role": "user", "content": "SQSの可視性タイムアウトは何秒？"}]}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
PAGE = {"accept": "text/html,application/xhtml+xml"}
ORIGIN = {"origin": "http://kotae.test"}


def settings_in(folder: Path, **changes: Any) -> Settings:  # noqa: ANN401
    return Settings(index=folder, **{"allowed_hosts": ("kotae.test",), **changes})


def client_of(settings: Settings, **options: Any) -> TestClient:  # noqa: ANN401
    return TestClient(
        create_app(settings, FakeAssistant()), base_url="http://kotae.test", **options
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def key(settings: Settings) -> str:
    return open_keys(settings).add("alice")


@pytest.fixture
def client(settings: Settings, key: str) -> Iterator[TestClient]:
    """A client of a service that asks for keys; it does not follow redirects."""
    with client_of(settings, follow_redirects=False) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def sign_in(client: TestClient, key: str, target: str = "/", **headers: str) -> Any:  # noqa: ANN401
    return client.post("/sign-in", data={"key": key, "next": target}, headers=ORIGIN | headers)


# Keys


def test_a_key_is_kept_as_a_hash_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "new folder" / "keys.json")
    key = store.add("alice")
    content = store.path.read_text()
    assert key.startswith("kotae_")
    assert len(key) >= 48
    assert key not in content
    assert key.removeprefix("kotae_") not in content
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert [os.fspath(path) for path in store.path.parent.glob(".keys-*")] == []


def test_several_keys_let_in_and_a_revoked_one_does_not(tmp_path: Path) -> None:
    store, other = (KeyStore(tmp_path / "keys.json") for _ in range(2))
    keys = {name: store.add(name) for name in ("alice", "bob", "carol")}
    assert {name: found.name for name, key in keys.items() if (found := other.find(key))} == {
        name: name for name in keys
    }
    assert store.revoke("bob") == 2
    assert other.find(keys["bob"]) is None
    assert other.find(keys["carol"])
    assert other.find(keys["alice"] + "x") is None
    assert other.find("") is None


def test_every_key_is_compared_in_constant_time_wherever_the_match_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = KeyStore(tmp_path / "keys.json")
    keys = [store.add(name) for name in ("first", "second", "third")]
    compared: list[tuple[str, str]] = []

    def compare(known: str, digest: str) -> bool:
        compared.append((known, digest))
        return hmac.compare_digest(known, digest)

    monkeypatch.setattr(keys_module, "hmac", type("spy", (), {"compare_digest": compare}))
    for tried in [*keys, "wrong"]:
        compared.clear()
        store.find(tried)
        assert [known for known, _ in compared] == [known.digest for known in store.all()]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", "a" * 65, "名\n前", "\x00"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="1 to 64"):
        KeyStore(tmp_path / "keys.json").add(name)


def test_a_name_is_given_once_and_revoked_by_its_name(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.json")
    store.add("アリス")
    with pytest.raises(ConfigError, match="there is a key"):
        store.add("アリス")
    with pytest.raises(ConfigError, match="there are: アリス"):
        store.revoke("bob")


@pytest.mark.parametrize("content", ["", "[]", '{"keys": [{"name": "a"}]}', "\x00", '{"keys": 3}'])
def test_with_a_damaged_file_of_keys_nobody_comes_in(
    client: TestClient, settings: Settings, key: str, content: str
) -> None:
    path = open_keys(settings).path
    assert client.post("/api/search", json=QUESTION, headers=bearer(key)).status_code == 200
    path.write_text(content)
    answer = client.post("/api/search", json=QUESTION, headers=bearer(key))
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "config")
    assert key not in answer.text


def test_keys_once_asked_for_are_asked_for_when_their_file_is_gone(
    client: TestClient, settings: Settings, key: str
) -> None:
    open_keys(settings).path.unlink()
    assert client.post("/api/search", json=QUESTION, headers=bearer(key)).status_code == 401
    assert client.post("/api/search", json=QUESTION).status_code == 401


def test_a_first_key_closes_a_running_service(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with client_of(settings) as client:
        assert client.post("/api/search", json=QUESTION).status_code == 200
        key = open_keys(settings).add("alice")
        assert client.post("/api/search", json=QUESTION).status_code == 401
        assert client.post("/api/search", json=QUESTION, headers=bearer(key)).status_code == 200


# Starting


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("127.5.5.5", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("kotae.example", False),
    ],
)
def test_other_machines_are_let_in_only_with_keys_or_when_told_outright(
    tmp_path: Path, host: str, local: bool
) -> None:
    assert is_loopback(host) is local
    settings = settings_in(tmp_path, host=host)
    if local:
        check_exposure(settings)
    else:
        with pytest.raises(ConfigError, match="kotae keys add NAME, or --without-keys"):
            check_exposure(settings)
    check_exposure(settings_in(tmp_path, host=host, without_keys=True))
    open_keys(settings).add("alice")
    check_exposure(settings)
    open_keys(settings).revoke("alice")
    with pytest.raises(ConfigError, match=r"every key .* is revoked"):
        check_exposure(settings_in(tmp_path, host=host, without_keys=True))


# Requests


CLOSED = [
    ("POST", "/api/search", QUESTION),
    ("POST", "/api/ask", QUESTION),
    ("GET", "/api/documents", None),
    ("GET", "/api/documents/aws/sqs.md", None),
    ("POST", "/api/feedback", {"answer_id": "a", "verdict": "good"}),
    ("POST", "/v1/chat/completions", CHAT),
    ("GET", "/v1/models", None),
    ("POST", "/mcp", PING),
    ("GET", "/metrics", None),
    ("GET", "/openapi.json", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CLOSED)
def test_what_is_closed_opens_to_a_key_alone(
    client: TestClient, key: str, method: str, path: str, body: object
) -> None:
    accept = {"accept": "application/json, text/event-stream"}
    for wrong in ({}, bearer("wrong"), bearer(""), {"authorization": key}, {"x-api-key": key}):
        refused = client.request(method, path, json=body, headers=accept | wrong)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert "SQS" not in refused.text
        error = refused.json()["error"]
        assert error["code"] == "unauthorized"
        assert ("param" in error) == path.startswith("/v1/")
    allowed = client.request(method, path, json=body, headers=accept | bearer(key))
    assert allowed.status_code == 200, allowed.text


def test_every_route_is_closed_but_those_named_open(client: TestClient) -> None:
    routers = [module.router for module in (routes, chat_completions, health, pages, sign_in_page)]
    paths = {getattr(route, "path", "") for router in routers for route in router.routes}
    assert {"/api/ask", "/v1/models", "/notes/{doc_id:path}", "/metrics"} <= paths
    places = {path: re.sub(r"\{[^}]*\}", "x", path) for path in paths | {"/mcp", "/", "/nowhere"}}
    open_paths = {path for path, real in places.items() if client.get(real).status_code != 401}
    assert open_paths == {"/healthz", "/readyz", "/sign-in"}


def test_readiness_tells_a_stranger_nothing_of_the_notes(client: TestClient, key: str) -> None:
    told = client.get("/readyz").json()
    assert {name for name, value in told.items() if value is not None} == {"status"}
    assert client.get("/readyz", headers=bearer(key)).json()["documents"] == 4


# Signing in


def test_a_reader_signs_in_once_and_out_again(client: TestClient, key: str) -> None:
    place = "/notes/aws/sqs.md?start=1&end=5"
    turned = client.get(place, headers=PAGE)
    assert turned.status_code == 303
    assert turned.headers["location"] == (
        "/sign-in?next=%2Fnotes%2Faws%2Fsqs.md%3Fstart%3D1%26end%3D5"
    )
    form = client.get(turned.headers["location"], headers=PAGE)
    assert 'value="/notes/aws/sqs.md?start=1&amp;end=5"' in form.text
    signed = sign_in(client, key, place)
    assert (signed.status_code, signed.headers["location"]) == (303, place)
    cookie = signed.headers["set-cookie"]
    assert re.search(r"^kotae_session=[\w-]{43};", cookie)
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert key not in cookie
    assert client.get(place, headers=PAGE).status_code == 200
    assert "/sign-out" in client.get("/", headers=PAGE).text
    assert client.post("/api/ask", json=QUESTION, headers=ORIGIN).status_code == 200
    kept = client.cookies["kotae_session"]
    assert client.post("/sign-out", headers=ORIGIN).status_code == 303
    client.cookies.set("kotae_session", kept)
    assert client.post("/api/ask", json=QUESTION, headers=ORIGIN).status_code == 401


def test_a_wrong_key_does_not_sign_in_and_few_are_tried(client: TestClient, key: str) -> None:
    for _ in range(10):
        wrong = sign_in(client, "wrong")
        assert wrong.status_code == 401
        assert "set-cookie" not in wrong.headers
        assert 'role="alert"' in wrong.text
        assert "wrong" not in wrong.text
    limited = sign_in(client, key)
    assert limited.status_code == 429
    assert 0 < int(limited.headers["retry-after"]) <= 6


def test_a_session_ends_with_its_key(client: TestClient, settings: Settings, key: str) -> None:
    sign_in(client, key)
    assert client.get("/", headers=PAGE).status_code == 200
    open_keys(settings).revoke("alice")
    assert client.get("/", headers=PAGE).status_code == 303
    again = open_keys(settings).add("alice")
    assert client.get("/", headers=PAGE).status_code == 303
    assert again != key


def test_a_cookie_behind_https_is_only_for_https(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, public_url="https://notes.example/")
    key = open_keys(settings).add("alice")
    app = create_app(settings, FakeAssistant())
    with TestClient(app, base_url="http://notes.example", follow_redirects=False) as client:
        signed = sign_in(client, key, origin="https://notes.example")
    assert signed.headers["set-cookie"].startswith("__Host-kotae=")
    assert "Secure" in signed.headers["set-cookie"].split("; ")
    assert "Domain" not in signed.headers["set-cookie"]


@pytest.mark.parametrize(
    "target",
    [
        "https://elsewhere.example/",
        "//elsewhere.example/",
        "/\\elsewhere.example",
        "/notes/\\..\\..",
        "\thttps://elsewhere.example",
        "/notes/../sign-out",
        "/api/ask",
        "javascript:alert(1)",
        "/notes/a\r\nset-cookie: a=b",
        "/?\x00",
        "",
    ],
)
def test_signing_in_leads_nowhere_else(client: TestClient, key: str, target: str) -> None:
    signed = sign_in(client, key, target)
    assert signed.headers["location"] == "/"
    assert "a=b" not in signed.headers["set-cookie"]


def test_a_link_of_another_site_gets_the_strict_cookie_along_by_reopening(
    client: TestClient,
) -> None:
    answer = client.get("/notes/aws/sqs.md", headers=PAGE | {"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0"' in answer.text
    assert "SQS" not in answer.text


def test_sessions_are_bounded_end_in_time_and_are_kept_as_hashes() -> None:
    store = SessionStore(seconds=3600)
    key = keys_module.ApiKey("alice", "0" * 64, "")
    tokens = [store.begin(key) for _ in range(MAX_SESSIONS + 1)]
    assert store.find(tokens[0]) is None
    assert store.find(tokens[-1]) is not None
    assert tokens[-1] not in str(vars(store))
    over = SessionStore(seconds=0)
    assert over.find(over.begin(key)) is None


# Other sites


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"origin": "http://kotae.test"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "http://elsewhere.example"}, False),
        ({"origin": "http://kotae.test.elsewhere.example"}, False),
        ({"origin": "http://kotae.test:81"}, False),
        ({"origin": "http://elsewhere.example@kotae.test"}, False),
        ({"origin": "file://kotae.test"}, False),
    ],
)
def test_only_its_own_pages_and_programs_change_something(
    tmp_path: Path, headers: dict[str, str], allowed: bool
) -> None:
    with client_of(settings_in(tmp_path)) as client:
        answer = client.post("/api/search", json=QUESTION, headers=headers)
        assert client.get("/api/documents", headers=headers).status_code == 200
    assert answer.status_code == (200 if allowed else 403)


def test_a_form_of_another_site_neither_signs_in_nor_out(client: TestClient, key: str) -> None:
    other = {"origin": "https://elsewhere.example"}
    assert sign_in(client, key, **other).status_code == 403
    sign_in(client, key)
    assert client.post("/sign-out", headers=other).status_code == 403
    assert client.get("/", headers=PAGE).status_code == 200


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("kotae.test", True),
        ("KOTAE.test.", True),
        ("kotae.test:8000", True),
        ("localhost:9", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("192.168.1.5", True),
        ("elsewhere.example", False),
        ("kotae.test.elsewhere.example", False),
        ("kotae.test@elsewhere.example", False),
        ("elsewhere.example#kotae.test", False),
        ("kotae.test/", False),
        ("kotae.test:port", False),
        ("kotae.test:99999", False),
        ("0.0.0.0", False),
        ("[::]", False),
        ("[::1", False),
        ("", False),
        ("2130706433", False),
        ("localhost.elsewhere.example", False),
    ],
)
def test_only_known_names_are_answered_to(tmp_path: Path, host: str, known: bool) -> None:
    paths = ("/", "/healthz", "/static/seal.svg", "/sign-in", "/slack/events", "/mcp")
    with client_of(settings_in(tmp_path), follow_redirects=False) as client:
        statuses = [client.get(path, headers={"host": host}).status_code for path in paths]
    assert (statuses == [421] * len(paths)) is not known
    assert (421 in statuses) is not known


@pytest.mark.parametrize("path", ["/", "/nowhere", "/api/ask", "/v1/models", "/static/none"])
@pytest.mark.parametrize("headers", [{}, {"host": "elsewhere.example"}, PAGE])
def test_every_response_has_the_headers_of_safety(
    client: TestClient, path: str, headers: dict[str, str]
) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = client.request(method, path, headers=headers)
        assert set(map(str.lower, HEADERS)) <= set(answer.headers), (method, path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


# How often


def test_one_key_may_ask_so_often_and_another_is_not_held_up(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, requests_per_minute=3)
    keys = [open_keys(settings).add(name) for name in ("alice", "bob")]
    with client_of(settings) as client:

        def statuses(key: str) -> list[int]:
            return [
                client.post("/api/search", json=QUESTION, headers=bearer(key)).status_code
                for _ in range(4)
            ]

        assert statuses(keys[0]) == statuses(keys[1]) == [200, 200, 200, 429]
        limited = client.post("/v1/chat/completions", json=CHAT, headers=bearer(keys[0]))
        assert 0 < int(limited.headers["retry-after"]) <= 20
        assert limited.json()["error"]["code"] == "rate_limited"
        assert client.get("/healthz").status_code == 200


def test_without_keys_an_address_may_ask_so_often_unless_it_is_this_machine(
    tmp_path: Path,
) -> None:
    for host, last in (("0.0.0.0", 429), ("127.0.0.1", 200)):
        settings = settings_in(tmp_path, requests_per_minute=2, host=host, without_keys=True)
        with client_of(settings) as client:
            statuses = [client.get("/api/documents").status_code for _ in range(3)]
        assert statuses == [200, 200, last]


def test_wrong_keys_are_counted_apart_from_right_ones(client: TestClient, key: str) -> None:
    tried = [
        client.get("/api/documents", headers=bearer(f"wrong {n}")).status_code for n in range(12)
    ]
    assert tried == [401] * 10 + [429] * 2
    assert client.get("/api/documents", headers=bearer(key)).status_code == 200


def test_callers_are_remembered_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = RateLimit(1)
    for number in range(MAX_BUCKETS + 100):
        assert limit.take(f"caller {number}") == 0
    assert len(limit) == MAX_BUCKETS
    assert limit.take(f"caller {MAX_BUCKETS}") > 0
    assert RateLimit(0).take("anybody") == 0


def test_a_bucket_fills_again_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("api.access.rates.time.monotonic", lambda: now[0])
    limit = RateLimit(60)
    assert [limit.take("a") for _ in range(61)] == [0] * 60 + [1]
    now[0] += 1.0
    assert [limit.take("a") for _ in range(2)] == [0, 1]
    now[0] += 3600
    assert [limit.take("a") for _ in range(61)] == [0] * 60 + [1]


def test_addresses_of_one_network_are_one_caller() -> None:
    assert caller_of("2001:db8::1") == caller_of("2001:db8::ffff:1") == "2001:db8::"
    assert caller_of("2001:db8:0:1::1") != caller_of("2001:db8::1")
    assert caller_of("192.0.2.1") != caller_of("192.0.2.2")
    assert caller_of("testclient") == "testclient"


# The command


def test_keys_are_made_listed_and_revoked_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rag.cli import main

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            main(["keys", *words, "--index", str(tmp_path)])
        out, err = capsys.readouterr()
        return int(done.value.code or 0), out, err

    assert "no keys" in run("list")[2]
    status, key, err = run("add", "alice")
    assert status == 0
    assert re.fullmatch(r"kotae_[\w-]{43}\n", key)
    assert key.strip() not in err
    assert run("add", "alice")[0] == 2
    listed = run("list")[1]
    assert re.fullmatch(r"alice\t\d{4}-\d\d-\d\dT[\d:]+\+00:00\n", listed)
    assert key.strip() not in listed
    assert json.loads((tmp_path / "keys.json").read_text())["keys"][0]["name"] == "alice"
    status, _, err = run("revoke", "alice")
    assert status == 0
    assert "nobody can come in now" in err
    assert run("revoke", "alice")[0] == 2
