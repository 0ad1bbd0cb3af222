"""A short version of `make soak`: see tests/soak.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_under_load_every_answer_is_of_the_snapshot_that_it_names() -> None:
    options = ("--tiny", "--seconds", "9", "--clients", "6", "--swaps", "2")
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", *options],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    report = json.loads(done.stdout or "null")
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["faults"] == []
    assert report["snapshots_that_answered"] >= 2
    assert report["checked_answers"] > 50
