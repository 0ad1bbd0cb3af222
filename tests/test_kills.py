"""A short version of `make kills`: see tests/kills.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_killed_indexers_lose_and_mix_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kills", "--kills", "25", "--seed", "7"],
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tally = json.loads(done.stdout)
    assert tally["kills"] >= 25
    assert len(tally["killed_while"]) >= 2
    assert tally["old_stood"] > 0
    assert tally["new_stood"] > 0
    assert tally["searches"] > 25
