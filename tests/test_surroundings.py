from __future__ import annotations

import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest
from pydantic import SecretStr

from api import create_app
from rag.commands.doctor import examine
from rag.config import ModelSettings, Settings
from rag.doctor import Finding
from rag.surroundings import check_extra, check_port, check_server, check_space, check_surroundings
from tests.fake_assistant import FakeAssistant
from tests.servers import serving

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_too_little_space_is_told_with_how_much_and_where_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "not" / "made" / "yet"
    assert check_space("index disk", folder, 1, "--index DIR").ok
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9e9, 9e9, 0.1e9))
    finding = check_space("index disk", folder, 200_000_000, "--index DIR")
    assert not finding.ok
    assert "0.1 GB free" in finding.message
    assert finding.remediation == "free 200 MB there, or choose another folder with --index DIR"
    assert not folder.exists()


def test_a_port_is_free_taken_by_another_or_by_kotae_itself(tmp_path: Path, free_port: int) -> None:
    assert check_port(Settings(port=free_port)).message.endswith("is free for kotae serve")
    with socket.create_server(("127.0.0.1", 0)) as server:
        finding = check_port(Settings(port=server.getsockname()[1]))
        assert not finding.ok
        assert "KOTAE_PORT" in finding.remediation
    with serving(create_app(Settings(index=tmp_path), FakeAssistant())) as url:
        finding = check_port(Settings(port=int(url.rsplit(":", 1)[1])))
        assert finding.ok
        assert "kotae serve answers" in finding.message


@pytest.mark.parametrize(
    ("package", "token", "ok"),
    [("json", None, True), ("absent_package", None, True), ("absent_package", "xoxb-1", False)],
)
def test_an_extra_is_missed_only_where_it_is_set_up(
    package: str, token: str | None, ok: bool
) -> None:
    settings = Settings(slack_bot_token=SecretStr(token) if token else None)
    finding = check_extra("slack", package, settings)
    assert finding.ok is ok
    assert ("pip install 'kotae[slack]'" in finding.message) is (package == "absent_package")


def test_an_answer_server_that_does_not_listen_is_named(free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}/v1"
    finding = check_server("local", url)
    assert (finding.name, finding.ok) == ("answer model local", False)
    assert url in finding.message
    assert "[models.local]" in finding.remediation
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert check_server("local", f"http://127.0.0.1:{server.getsockname()[1]}/v1").ok


def named(findings: list[Finding]) -> dict[str, bool]:
    return {finding.name: finding.ok for finding in findings}


def test_all_is_looked_at_and_what_is_not_prepared_is_no_fault(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOTAE_CACHE", str(tmp_path / "cache"))
    models = {"local": ModelSettings(base_url=f"http://127.0.0.1:{free_port}/v1", model="m")}
    settings = Settings(index=tmp_path / "index", port=free_port, models=models)
    findings = list(check_surroundings(settings))
    assert named(findings) == {
        "program": True,
        "model": True,
        "index disk": True,
        "port": True,
        "slack": True,
        "mcp": True,
        "qdrant": True,
        "answer model local": False,
    }
    assert "not prepared yet" in findings[1].message
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("tokens", "ok", "told"),
    [
        ({"slack_app_token": "xapp-1"}, True, "kotae slack"),
        ({"slack_signing_secret": "s"}, True, "POST /slack/events"),
        ({}, False, "KOTAE_SLACK_APP_TOKEN is not set"),
        ({"slack_bot_token": "xapp-1"}, False, "does not start with xoxb-"),
    ],
)
def test_tokens_of_slack_are_checked_and_never_shown(
    tmp_path: Path, free_port: int, tokens: dict[str, str], ok: bool, told: str
) -> None:
    given = {"slack_bot_token": "xoxb-secret"} | tokens
    secrets = {name: SecretStr(token) for name, token in given.items()}
    settings = Settings(corpus=tmp_path / "none", port=free_port, **secrets)  # type: ignore[arg-type]
    (finding,) = [found for found in examine(settings) if found.name == "slack tokens"]
    assert finding.ok is ok
    assert told in finding.message
    assert "xoxb-secret" not in str(finding)
