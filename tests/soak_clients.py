"""What a client of the soak asks, and how each answer is checked against its snapshot."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from api.messages import SHIPPED_EXAMPLES
from rag.types import Document
from tests.watched_server import Snapshots

QUESTIONS = (
    *(f"巡回{number}の合言葉は何の花ですか？" for number in range(5)),
    *(question for _, question in SHIPPED_EXAMPLES),
)
KINDS = {"search": 35, "ask": 35, "stream": 12, "chat": 8, "note": 6, "dropped": 4}
"""What is asked how often; `dropped` goes away in the middle of an answer."""


@dataclass
class Outcome:
    """What came of one request; `wrong` says what does not fit its snapshot."""

    kind: str
    status: int = 0
    milliseconds: float = 0.0
    snapshot_ids: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


class Client:
    """Asks one thing after another, over connections of its own."""

    def __init__(self, url: str, snapshots: Snapshots, seed: int) -> None:
        self._random = random.Random(seed)
        self._http = httpx.AsyncClient(base_url=url, timeout=60)
        self._snapshots = snapshots

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def snapshot_id(self) -> str:
        """Which snapshot answers now."""
        return str((await self._http.get("/readyz")).json()["snapshot_id"])

    async def ask(self) -> Outcome:
        """One request of any kind, checked."""
        kind = self._random.choices(list(KINDS), list(KINDS.values()))[0]
        outcome = Outcome(kind)
        began = time.perf_counter()
        try:
            bodies = await getattr(self, f"_{kind}")(outcome)
        except httpx.HTTPError as error:
            outcome.wrong.append(f"{kind}: {error!r}")
            return outcome
        outcome.milliseconds = (time.perf_counter() - began) * 1000
        for body in bodies:
            await asyncio.to_thread(self._check, body, outcome)
        if len(outcome.snapshot_ids) > 1:
            outcome.wrong.append(f"{kind}: one answer from {outcome.snapshot_ids}")
        if outcome.status == 503:
            await asyncio.sleep(0.2)
        return outcome

    def _question(self) -> dict[str, Any]:
        return {"question": self._random.choice(QUESTIONS), "top_k": self._random.randint(1, 10)}

    async def _post(self, outcome: Outcome, path: str, body: dict[str, Any]) -> list[Any]:
        response = await self._http.post(path, json=body)
        outcome.status = response.status_code
        return [response.json()] if response.status_code == 200 else []

    async def _search(self, outcome: Outcome) -> list[Any]:
        return await self._post(outcome, "/api/search", self._question())

    async def _ask(self, outcome: Outcome) -> list[Any]:
        return await self._post(outcome, "/api/ask", self._question())

    async def _chat(self, outcome: Outcome) -> list[Any]:
        messages = [{"role": "user", "content": self._question()["question"]}]
        body = {"model": "kotae", "messages": messages}
        return [found["kotae"] for found in await self._post(outcome, "/v1/chat/completions", body)]

    async def _stream(self, outcome: Outcome, events: int | None = None) -> list[Any]:
        body = {**self._question(), "stream": True}
        found = []
        async with self._http.stream("POST", "/api/ask", json=body) as response:
            outcome.status = response.status_code
            if response.status_code != 200:
                return []
            name = ""
            async for line in response.aiter_lines():
                name = line.removeprefix("event: ") if line.startswith("event: ") else name
                if line.startswith("data: ") and name in ("hits", "answer"):
                    found.append(json.loads(line.removeprefix("data: ")))
                    if len(found) == events:
                        return found
                elif line.startswith("data: ") and name == "error":
                    outcome.wrong.append(f"stream: {line}")
        if len(found) != 2:
            outcome.wrong.append(f"stream: {len(found)} of hits and answer came")
        return found

    async def _dropped(self, outcome: Outcome) -> list[Any]:
        return await self._stream(outcome, events=1)

    async def _note(self, outcome: Outcome) -> list[Any]:
        """A note is as it was in one of the snapshots; its page opens."""
        doc_id = f"巡回/{self._random.randrange(5)}.md"
        page = await self._http.get(f"/notes/{doc_id}", params={"start": 1, "end": 9})
        found = await self._http.get(f"/api/documents/{doc_id}")
        outcome.status = max(page.status_code, found.status_code)
        if outcome.status == 200 and found.json()["text"] not in self._snapshots.texts_of(doc_id):
            outcome.wrong.append(f"note: {doc_id} was never so: {found.json()['text']!r}")
        return []

    def _check(self, body: Mapping[str, Any], outcome: Outcome) -> None:
        """Every word that is shown stands in the note, as it was in the snapshot that is named."""
        snapshot_id = body["snapshot_id"]
        outcome.snapshot_ids.add(snapshot_id)
        try:
            notes = self._snapshots[snapshot_id]
        except KeyError:
            outcome.wrong.append(f"{outcome.kind}: no snapshot {snapshot_id} ever stood there")
            return
        for cited in (*body.get("citations", ()), *(hit["citation"] for hit in body["hits"])):
            outcome.wrong.extend(f"{outcome.kind}: {fault}" for fault in _faults_of(cited, notes))


def _faults_of(cited: Mapping[str, Any], notes: Mapping[str, Document]) -> Iterator[str]:
    note = notes.get(cited["doc_id"])
    if note is None:
        yield f"no note {cited['doc_id']}"
        return
    start, end = cited["start_index"], cited["end_index"]
    if note.text[start:end] != cited["quote"]:
        yield f"{note.doc_id} {start}–{end} is {note.text[start:end]!r}, not {cited['quote']!r}"
    if note.text.count("\n", 0, start) + 1 != cited["start_line"]:
        yield f"{note.doc_id} {start} is not in line {cited['start_line']}"
