"""What is logged and counted, and what is not."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api import create_app
from api.access.keys import open_keys
from api.logs import LineFormatter, secrets_of, set_up_logging
from rag.config import ModelSettings, Settings, load_settings
from rag.doctor import Finding
from rag.errors import ConfigError
from rag.surroundings import check_surroundings
from tests.fake_assistant import FakeAssistant

QUESTION = "SQSの可視性タイムアウトは何秒？"
UNKNOWN = "未知の失敗は SQSの可視性タイムアウト"


@pytest.fixture
def written(tmp_path: Path) -> Iterator[list[str]]:
    """Every line that is logged, as the service writes it in JSON."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Keep()
    handler.addFilter(lambda record: not record.name.startswith("httpx"))  # the test's own client
    handler.setFormatter(LineFormatter(as_json=True))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def requests_in(written: list[str]) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in written]
    return [line for line in lines if line["logger"] == "kotae.requests"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(index=tmp_path)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings, FakeAssistant()), raise_server_exceptions=False) as client:
        yield client


def test_a_request_is_a_line_with_its_id_and_stages_and_without_its_words(
    settings: Settings, written: list[str]
) -> None:
    key = open_keys(settings).add("alice")
    headers = {"authorization": f"Bearer {key}", "x-request-id": "from-the-client.1"}
    with TestClient(create_app(settings, FakeAssistant())) as client:
        for stream in (False, True):
            body = {"question": QUESTION, "stream": stream}
            answer = client.post("/api/ask", json=body, headers=headers)
            assert answer.headers["x-request-id"] == "from-the-client.1"
        client.post("/api/search", json={"question": QUESTION}, headers=headers)
        client.get("/notes/aws/sqs.md?start=1", headers=headers)
    lines = requests_in(written)
    for line, route in zip(
        lines, ["/api/ask", "/api/ask", "/api/search", "/notes/{doc_id:path}"], strict=True
    ):
        assert line["request_id"] == "from-the-client.1"
        assert (line["route"], line["status"], line["key"]) == (route, 200, "alice")
    for line in lines[:2]:
        assert (line["model"], line["refused"], line["total_ms"]) == ("extractive", False, 2.5)
        assert line["snapshot"] == "snapshot-1"
    everything = "\n".join(written)
    for kept_out in ("可視性", "SQS", "sqs.md", key, "コンシューマー"):
        assert kept_out not in everything


@pytest.mark.parametrize("given", ["", "a b", "a\tb", "x" * 65, "名前", "<script>"])
def test_an_id_that_is_none_is_replaced(client: TestClient, given: str) -> None:
    headers = {"x-request-id": given.encode()}
    answer = client.get("/healthz", headers=headers)  # type: ignore[arg-type]
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


def test_an_unknown_error_is_told_by_kind_and_place_under_the_id_that_is_shown(
    client: TestClient, written: list[str]
) -> None:
    answer = client.post("/api/ask", json={"question": UNKNOWN})
    assert answer.status_code == 500
    (line,) = [json.loads(line) for line in written if "unknown error" in line]
    assert answer.json()["error"]["detail"]["id"] in line["message"]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["error"].startswith("ZeroDivisionError at ")
    assert "fake_assistant.py:" in line["error"]
    assert "可視性" not in "\n".join(written)


def formatted(message: str, as_json: bool, *secrets: str) -> str:
    record = logging.LogRecord("a", logging.WARNING, "file", 1, message, (), None)
    return LineFormatter(as_json, secrets).format(record)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "secret",
    [
        "kotae_EXAMPLE0123456789abcdefghijklmnopqrstuvwxyz",
        "xoxb-1234567890-EXAMPLEabc",
        "xapp-1-A0123456789",
        "sk-proj-abcdefghijklmnop",
        "geheim",
    ],
)
def test_what_looks_like_a_secret_or_is_one_is_masked(secret: str, as_json: bool) -> None:
    for message in (f"key {secret}!", f"Bearer {secret}", f"http://user:{secret}@host/"):
        line = formatted(message, as_json, "geheim")
        assert secret not in line
        assert "***" in line


def test_a_message_cannot_begin_another_line() -> None:
    for as_json in (False, True):
        line = formatted('a\nlevel=error message="forged"\r\n', as_json)
        assert len(line.splitlines()) == 1
    assert json.loads(formatted('"\n', as_json=True))["message"] == '"\n'


def test_logging_is_set_up_as_the_settings_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        set_up_logging(Settings(log_format="json", log_level="info"))
        logging.getLogger("rag.x").info("hello")
        logging.getLogger("httpx2").info("GET http://inner/")
    finally:
        root.handlers[:] = kept
        root.setLevel(level)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "hello"


# Secrets elsewhere


def secretive(folder: Path) -> Settings:
    server = ModelSettings.model_validate(
        {
            "base_url": "http://127.0.0.1:9",
            "model": "m",
            "api_key": "himitsu-1",
            "options": {"token": "himitsu-2"},
        }
    )
    return Settings(
        index=folder,
        models={"local": server},
        slack_bot_token=SecretStr("xoxb-himitsu-3"),
        slack_signing_secret=SecretStr("himitsu-4"),
        slack_app_token=SecretStr("xapp-himitsu-5"),
    )


def test_settings_and_doctor_show_no_secret(tmp_path: Path) -> None:
    settings = secretive(tmp_path)
    assert "himitsu" not in repr(settings)
    assert "himitsu" not in str(settings)
    findings: list[Finding] = list(check_surroundings(settings))
    assert "himitsu" not in repr(findings)
    assert set(secrets_of(settings)) == {
        *("himitsu-1", "xoxb-himitsu-3", "himitsu-4", "xapp-himitsu-5"),
    }


@pytest.mark.parametrize(
    "toml",
    [
        "slack_bot_tokn = 'xoxb-himitsu'\n",
        "[models.local]\nbase_url = 'http://user:himitsu@host/v1'\nmodel = 'm'\n",
        "[models.local]\nbase_url = 'host'\nmodel = 'm'\napi_key = 'himitsu'\n",
        "[slack]\ntoken = 'himitsu'\n",
    ],
)
def test_a_wrong_setting_is_told_without_its_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toml: str
) -> None:
    (tmp_path / "kotae.toml").write_text(toml)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "himitsu" not in str(caught.value)


# Metrics


def test_stages_legs_failures_and_the_snapshots_age_are_counted(client: TestClient) -> None:
    client.post("/api/ask", json={"question": QUESTION})
    client.post("/api/search", json={"question": QUESTION})
    client.post("/api/search", json={"question": QUESTION}, headers={"host": "elsewhere.example"})
    told = client.get("/metrics").text
    for line in (
        'kotae_stage_seconds_count{stage="total"} 2.0',
        'kotae_leg_searches_total{leg="dense",silent="false"} 2.0',
        'kotae_answers_total{model="extractive",refused="false"} 1.0',
        'kotae_rejected_total{reason="wrong_host"} 1.0',
        "kotae_ready 1.0",
        "kotae_http_requests_in_flight 1.0",
    ):
        assert line in told.splitlines()
    age = re.search(r"^kotae_snapshot_age_seconds (\S+)$", told, re.MULTILINE)
    assert age
    assert float(age[1]) > 0


def test_invented_methods_do_not_fill_the_memory(client: TestClient) -> None:
    for number in range(20):
        client.request(f"METHOD{number}", "/")
        client.get(f"/path/{number}")
    told = client.get("/metrics").text
    assert "METHOD" not in told
    assert "/path/" not in told
    assert 'method="other"' in told
