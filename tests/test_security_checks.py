"""The checks of CI: secrets in what git keeps, known weaknesses of the packages."""

from __future__ import annotations

import json
import runpy
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from api.access.keys import KeyStore

ROOT = Path(__file__).parent.parent
CHECK = runpy.run_path(str(ROOT / ".ci/check_secrets.py"))
PARTS = {
    "private key": ("-----BEGIN RSA PRIV", "ATE KEY-----"),
    "AWS key": ("AKIA", "ABCDEFGHIJKLMNOP"),
    "Slack token": ("xoxb", "-123456789012-abcdefghijkl"),
    "GitHub token": ("ghp", "_" + "a1" * 18),
    "OpenAI or Anthropic key": ("sk-", "proj-" + "a1" * 20),
    "Google key": ("AIza", "a1" * 17 + "b"),
    "token in an address": ("https://me:", "0123456789abcdef@host.test/"),
    "secret in an assignment": ("api_key = '", "0123456789abcdef0123456789abcdef'"),
}
"""In two halves, or the check would find its own test."""


def found(text: str) -> list[tuple[int, str]]:
    return list(CHECK["find_secrets"](text))


@pytest.mark.parametrize(("kind", "parts"), PARTS.items())
def test_a_secret_of_each_kind_is_found_on_its_line(kind: str, parts: tuple[str, str]) -> None:
    assert (2, kind) in found("x = 1\n" + "".join(parts) + "\n")
    assert found("".join(parts) + "  # EXAMPLE") == []


def test_kotaes_own_keys_are_found(tmp_path: Path) -> None:
    assert found(KeyStore(tmp_path / "keys.json").add("alice")) == [(1, "Kotae API key")]
    assert found((tmp_path / "keys.json").read_text()) == []


def test_nothing_that_git_keeps_holds_a_secret() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / ".ci/check_secrets.py"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("printed", "status", "words"),
    [
        ("Connection refused", 0, "not audited"),
        (
            {"dependencies": [{"name": "a", "version": "1", "vulns": []}]},
            0,
            "1 packages audited, 0 weaknesses known; 0 could not be looked up",
        ),
        (
            {"dependencies": [{"name": "a", "skip_reason": "not found"}]},
            0,
            "0 packages audited, 0 weaknesses known; 1 could not be looked up",
        ),
        (
            {
                "dependencies": [
                    {
                        "name": "a",
                        "version": "1",
                        "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}],
                    }
                ]
            },
            1,
            "a 1: CVE-1, mended in 2",
        ),
    ],
)
def test_the_audit_fails_for_a_weakness_and_not_for_being_offline(
    tmp_path: Path, printed: object, status: int, words: str
) -> None:
    text = printed if isinstance(printed, str) else json.dumps(printed)
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    done = subprocess.run(
        [sys.executable, ROOT / ".ci/audit.py", program], capture_output=True, text=True
    )
    assert done.returncode == status
    assert words in done.stdout
