"""The measurements as they are kept: one JSON file, written after every step, taken up again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MEASURED = (
    "rag/**/*.py",
    "rag/data/*",
    "corpus/**/*.md",
    "eval/gold/*.jsonl",
    "benchmarks/peers/*",
    "benchmarks/[ejmqs]*.py",
    "constraints.txt",
)
"""What the figures depend on: once it changes, an interrupted run begins anew."""


@dataclass
class Results:
    """`rounds[n][system]` are timings, `quality[system][set]` the scores of each question.

    `problems` says of a system why it, or a part of it, could not be measured.
    """

    key: str
    mode: str
    machine: str
    started: str
    complete: bool = False
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    systems: dict[str, dict[str, Any]] = field(default_factory=dict)
    rounds: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    quality: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    stages: str = ""

    @classmethod
    def load(cls, path: Path) -> Results:
        """What `save` has written."""
        return cls(**json.loads(path.read_text("utf-8")))

    def save(self, path: Path) -> None:
        """Written aside, then put in place, so that an interruption leaves a whole file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".writing")
        scratch.write_text(json.dumps(asdict(self), ensure_ascii=False) + "\n", "utf-8")
        scratch.replace(path)


def open_results(path: Path, mode: str, options: Sequence[object], fresh: bool) -> Results:
    """The run in `path` where it was interrupted and nothing has changed since, else a new one."""
    key = measured_key(options)
    if path.exists() and not fresh:
        kept = Results.load(path)
        if kept.key == key and not kept.complete:
            return kept
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Results(key, mode, describe_machine(), now)


def measured_key(options: Sequence[object]) -> str:
    """Changes with the options, the notes, the questions, the code and the peers' versions."""
    digest = hashlib.sha256(repr(list(options)).encode())
    for pattern in MEASURED:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def describe_machine() -> str:
    """Processor, cores, memory, system and Python, in one line."""
    cores = os.cpu_count() or 1
    memory = ""
    if hasattr(os, "sysconf"):
        pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        memory = f", {pages / 2**30:.0f} GiB"
    python = platform.python_version()
    return f"{_processor()}, {cores} cores{memory}, {platform.system()}, Python {python}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
