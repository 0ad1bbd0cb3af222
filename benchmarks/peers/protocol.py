"""How the driver talks with a peer: one JSON object a line, on standard input and output.

Runs in every peer's own environment, so it needs the standard library alone. The clock runs here,
beside the peer, so that pipes and JSON cost it nothing.

    {"do": "index", "corpus", "folder", "model"} → {"seconds", "passages"}
    {"do": "open", "corpus", "folder", "model"} → {"seconds"}
    {"do": "ask", "questions", "top_k"} → {"milliseconds": […], "found": [[[doc_id, text], …], …]}
    {"do": "load", "questions", "top_k", "clients"} → {"seconds"}
    {"do": "memory"} → {"resident_bytes"}

What goes wrong is answered with {"error"}.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

Passage = tuple[str, str]
"""The note's path below the corpus folder, and the text that was returned of it."""


class Peer(Protocol):
    """What a user would build: `open` makes ready to `search` what `index` left in `folder`."""

    def index(self, corpus: Path, folder: Path, model: Path) -> int:
        """Indexes all notes of `corpus` into `folder`; returns the number of passages."""
        ...

    def open(self, corpus: Path, folder: Path, model: Path) -> None:
        """Opens the index in `folder`, in a process that has not made it."""
        ...

    def search(self, question: str, top_k: int) -> list[Passage]:
        """The best passages, best first."""
        ...


def serve(peer: Peer) -> None:
    """Answers each line on standard input with one on standard output, until that ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not stand among the answers
    for line in sys.stdin:
        try:
            answer = carry_out(peer, json.loads(line))
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer, ensure_ascii=False) + "\n")
        answers.flush()


def carry_out(peer: Peer, wish: dict[str, Any]) -> dict[str, Any]:
    """One request and its answer, as the module's head lists them."""
    started = time.perf_counter()
    match wish["do"]:
        case "index":
            passages = peer.index(*paths(wish))
            return {"seconds": time.perf_counter() - started, "passages": passages}
        case "open":
            peer.open(*paths(wish))
            return {"seconds": time.perf_counter() - started}
        case "ask":
            return ask(peer, wish["questions"], wish["top_k"])
        case "load":
            load(peer, wish["questions"], wish["top_k"], wish["clients"])
            return {"seconds": time.perf_counter() - started}
        case "memory":
            return {"resident_bytes": resident_bytes()}
        case other:
            raise ValueError(f"unknown request {other!r}")


def paths(wish: dict[str, Any]) -> tuple[Path, Path, Path]:
    """The folders of notes, of the index and of the model."""
    return Path(wish["corpus"]), Path(wish["folder"]), Path(wish["model"])


def ask(peer: Peer, questions: Sequence[str], top_k: int) -> dict[str, Any]:
    """One question after another, each timed."""
    milliseconds, found = [], []
    for question in questions:
        started = time.perf_counter()
        passages = peer.search(question, top_k)
        milliseconds.append((time.perf_counter() - started) * 1000)
        found.append(passages)
    return {"milliseconds": milliseconds, "found": found}


def load(peer: Peer, questions: Sequence[str], top_k: int, clients: int) -> None:
    """All questions, by so many threads that each ask one after another."""
    with ThreadPoolExecutor(clients) as pool:
        for _ in pool.map(lambda question: peer.search(question, top_k), questions):
            pass


def resident_bytes() -> int:
    """Memory that this process holds; where the system does not say, the most it has held."""
    try:
        status = Path("/proc/self/status").read_text("utf-8")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
