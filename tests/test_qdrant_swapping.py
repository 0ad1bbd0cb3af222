"""Two server processes over one Qdrant, snapshots swapped under load: no answer mixes two."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from rag.aliases import load_aliases
from rag.assistant import silent
from rag.config import Settings, load_settings
from rag.indexing import fresh_snapshot
from rag.retrieval import Retriever
from rag.snapshot import Snapshot
from tests.fakes import BigramEmbedder, write_notes
from tests.qdrant_server import qdrant_stand_in

pytestmark = pytest.mark.slow
VERSIONS = 3
SUBJECTS = ("光合成", "呼吸", "発酵", "消化", "循環")
QUESTIONS = tuple(f"{subject}の仕組みは?" for subject in SUBJECTS)
WAIT_SECONDS = 60
Told = tuple[str, str, list[tuple[str, Mapping[str, float]]]]
"""Question, snapshot_id, hits: the text of each and what every leg thought of it."""


def notes_of(version: int) -> Mapping[str, str]:
    """Every note says which version it belongs to; in each they stand in another order."""
    return {
        f"{(place + version) % len(SUBJECTS)}.md": (
            f"## {subject}\n\n{subject}の仕組みは第{version}版に書いてある。\n"
        )
        for place, subject in enumerate(SUBJECTS)
    }


@contextmanager
def service(settings: Settings, index: str) -> Iterator[str]:
    """The address of a server process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--corpus", str(settings.corpus), "--index", index]
    process = subprocess.Popen([sys.executable, "-m", "tests.qdrant_service", *options])
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: is_ready(url))
        yield url
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def wait_for(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Readers:
    """Threads that ask each service without a pause, and keep what they are told."""

    def __init__(self, urls: list[str]) -> None:
        self.told: dict[str, list[Told]] = {url: [] for url in urls}
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(url, at)) for url in urls for at in range(2)
        ]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def saw(self, snapshot_id: str) -> bool:
        """Both services have answered from this snapshot."""
        return all(any(told[1] == snapshot_id for told in own) for own in self.told.values())

    def _ask(self, url: str, number: int) -> None:
        with httpx.Client(base_url=url, timeout=WAIT_SECONDS) as client:
            while not self._stop.is_set():
                number += 1
                question = QUESTIONS[number % len(QUESTIONS)]
                response = client.post("/api/search", json={"question": question})
                assert response.status_code == 200
                found = response.json()
                hits = [(hit["text"], hit["signals"]) for hit in found["hits"]]
                self.told[url].append((question, found["snapshot_id"], hits))


def expected_hits(snapshot: Snapshot) -> dict[str, list[tuple[str, Mapping[str, float]]]]:
    """Texts and signals of each question's hits, as FAISS finds them in this snapshot alone."""
    aliases = load_aliases(snapshot.documents.values(), None)
    retriever = Retriever(snapshot, BigramEmbedder(), aliases)
    return {
        question: [(hit.chunk.text, hit.signals) for hit in retriever.search(question).hits]
        for question in QUESTIONS
    }


def test_no_answer_mixes_two_snapshots(tmp_path: Path) -> None:
    with ExitStack() as stack:
        address, _ = stack.enter_context(qdrant_stand_in())
        index = f"{address}/notes?folder={tmp_path / 'index'}"
        corpus = write_notes(tmp_path / "corpus", notes_of(0))
        settings = load_settings(corpus=corpus, index=index, embedder="bigram")
        embedder = BigramEmbedder()
        first, _ = fresh_snapshot(settings, embedder, silent)
        expected = {first.manifest.snapshot_id: expected_hits(first)}
        urls = [stack.enter_context(service(settings, index)) for _ in range(2)]
        with Readers(urls) as readers:
            for version in range(1, VERSIONS):
                write_notes(corpus, notes_of(version))
                new, _ = fresh_snapshot(settings, embedder, silent)
                snapshot_id = new.manifest.snapshot_id
                expected[snapshot_id] = expected_hits(new)
                wait_for(partial(readers.saw, snapshot_id))
    for told in readers.told.values():
        assert {snapshot_id for _, snapshot_id, _ in told} == set(expected)
        for question, snapshot_id, hits in told:
            whole = expected[snapshot_id][question]
            assert [text for text, _ in hits] == [text for text, _ in whole]
            for (_, signals), (_, exact) in zip(hits, whole, strict=True):
                assert signals == pytest.approx(exact, abs=1e-4)
