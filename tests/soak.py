"""The service under load while its notes change: every answer checked against its snapshot.

    python -m tests.soak --seconds 300 --clients 16 --swaps 10          # the bundled model
    python -m tests.soak --seconds 10 --clients 8 --swaps 3 --tiny      # a tiny embedder

A client asks again as soon as it is answered. Meanwhile the notes are rewritten, and `kotae serve
--watch` takes each change up as a new snapshot. Exit status 1 if an answer was wrong or other than
200 or 503, if a change was not taken up, or if memory, descriptors or threads grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak_clients import Client, Outcome
from tests.watched_server import Reading, Snapshots, WatchedServer, watched_server

CORPUS = Path(__file__).parents[1] / "corpus"
MARKED_NOTES = 5
MAX_GROWTH = 0.1
"""Memory is flat when the end of the run holds at most this much more than its second fifth."""
SPARE = 6
"""Descriptors and threads may come and go by a few."""
TAKE_UP_SECONDS = 60


@dataclass
class Tally:
    """What was asked and what came of it."""

    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    snapshots_that_answered: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    taken_up_after_seconds: list[float] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Counts one request."""
        self.statuses[outcome.status] += 1
        self.wrong.extend(outcome.wrong)
        self.snapshots_that_answered.update(outcome.snapshot_ids)
        if outcome.status == 200:
            self.milliseconds[outcome.kind].append(outcome.milliseconds)


class Soak:
    """One run of the service."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.tally = Tally()
        self.version = 0
        self.write_notes()
        if not options.tiny:
            shutil.copytree(CORPUS, folder / "corpus", dirs_exist_ok=True)

    def write_notes(self) -> dict[str, str]:
        """The marked notes in a new version, all of another length than before."""
        self.version += 1
        notes = {}
        for number in range(MARKED_NOTES):
            padding = "この行は長さを変えるためにある。" * (1 + (self.version * 7 + number) % 9)
            text = (
                f"# 巡回{number}\n\n{padding}\n\n## 合言葉\n\n"
                f"巡回{number}の合言葉は、第{self.version}版では第{self.version}の花である。\n"
            )
            path = self.folder / "corpus" / "巡回" / f"{number}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            notes[f"巡回/{number}.md"] = text
        return notes

    async def run(self, server: WatchedServer, snapshots: Snapshots) -> None:
        """Load, changes and readings side by side, until the time is over."""
        ends_at = time.monotonic() + self.options.seconds
        clients = [Client(server.url, snapshots, seed) for seed in range(self.options.clients)]
        await asyncio.gather(
            *(self._ask_on(client, ends_at) for client in clients),
            self._change_notes(clients[0], snapshots),
            self._read(server, ends_at),
        )
        for client in clients:
            await client.close()
        await asyncio.sleep(1)
        self.tally.readings.append(await asyncio.to_thread(server.read))

    async def _ask_on(self, client: Client, ends_at: float) -> None:
        while time.monotonic() < ends_at:
            self.tally.add(await client.ask())

    async def _change_notes(self, client: Client, snapshots: Snapshots) -> None:
        started = time.monotonic()
        for number in range(1, self.options.swaps + 1):
            due = started + number * self.options.seconds / (self.options.swaps + 2)
            await asyncio.sleep(max(due - time.monotonic(), 0))
            expected = self.write_notes()
            began = time.monotonic()
            while not await self._taken_up(client, snapshots, expected):
                if time.monotonic() - began > TAKE_UP_SECONDS:
                    self.tally.wrong.append(f"version {self.version} was not taken up")
                    break
                await asyncio.sleep(0.1)
            else:
                self.tally.taken_up_after_seconds.append(round(time.monotonic() - began, 1))

    async def _taken_up(
        self, client: Client, snapshots: Snapshots, expected: dict[str, str]
    ) -> bool:
        notes = await asyncio.to_thread(snapshots.__getitem__, await client.snapshot_id())
        return all(notes[doc_id].text == text for doc_id, text in expected.items())

    async def _read(self, server: WatchedServer, ends_at: float) -> None:
        while time.monotonic() < ends_at:
            self.tally.readings.append(await asyncio.to_thread(server.read))
            await asyncio.sleep(0.5)

    def faults(self, exit_status: int | None, log: str) -> list[str]:
        """All that should not have been."""
        tally = self.tally
        faults = tally.wrong[:20]
        faults += [f"status {s}: {n}" for s, n in tally.statuses.items() if s not in (200, 503)]
        if len(tally.snapshots_that_answered) <= self.options.swaps:
            faults.append(f"{len(tally.snapshots_that_answered)} snapshots answered")
        if exit_status not in (0, -signal.SIGTERM):  # uvicorn passes the signal on at the end
            faults.append(f"exit status {exit_status}")
        if "Traceback" in log:
            faults.append(log[-2000:])
        return faults + self._growth()

    def _growth(self) -> list[str]:
        early, late = self._early_and_late()
        grown = []
        if late.rss_mb > early.rss_mb * (1 + MAX_GROWTH):
            grown.append(f"memory grew from {early.rss_mb:.0f} to {late.rss_mb:.0f} MB")
        for name in ("descriptors", "threads"):
            before, after = getattr(early, name), getattr(self.tally.readings[-1], name)
            if after > before + SPARE:
                grown.append(f"{name} grew from {before} to {after}")
        return grown

    def _early_and_late(self) -> tuple[Reading, Reading]:
        """Medians of the second and of the last fifth of the readings."""
        readings = self.tally.readings
        fifth = max(len(readings) // 5, 1)
        return _median(readings[fifth : 2 * fifth] or readings), _median(readings[-fifth:])

    def report(self, faults: list[str]) -> dict[str, Any]:
        """The figures."""
        tally = self.tally
        early, late = self._early_and_late()
        whole = [took for kind in tally.milliseconds.values() for took in kind]
        return {
            "seconds": self.options.seconds,
            "clients": self.options.clients,
            "requests": tally.statuses.total(),
            "statuses": dict(tally.statuses),
            "checked_answers": len(whole),
            "snapshots_that_answered": len(tally.snapshots_that_answered),
            "taken_up_after_seconds": tally.taken_up_after_seconds,
            "milliseconds": {"all": _quantiles(whole)}
            | {kind: _quantiles(took) for kind, took in sorted(tally.milliseconds.items())},
            "early": vars(early),
            "late": vars(late),
            "most": {
                name: max(getattr(reading, name) for reading in tally.readings)
                for name in ("rss_mb", "descriptors", "threads")
            },
            "after_the_clients": vars(tally.readings[-1]),
            "faults": faults,
        }


def _median(readings: list[Reading]) -> Reading:
    return Reading(
        statistics.median(reading.rss_mb for reading in readings),
        int(statistics.median(reading.descriptors for reading in readings)),
        int(statistics.median(reading.threads for reading in readings)),
    )


def _quantiles(milliseconds: list[float]) -> dict[str, float]:
    """n, and the time that half, 95 % and 99 % of them kept within."""
    ordered = sorted(milliseconds)
    if not ordered:
        return {"n": 0}
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    at = {name: ordered[int(share * (len(ordered) - 1))] for name, share in shares.items()}
    return {"n": len(ordered), **{name: round(took, 1) for name, took in at.items()}}


def main() -> None:
    """Prints the report as JSON; exits with 1 if there was any fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--swaps", type=int, default=10)
    parser.add_argument("--tiny", action="store_true", help="a tiny embedder, and few notes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        soak = Soak(folder, options)
        with (
            watched_server(folder, options.tiny) as server,
            Snapshots(folder / "index") as snapshots,
        ):
            asyncio.run(soak.run(server, snapshots))
            exit_status = server.stop()
        faults = soak.faults(exit_status, server.log)
    print(json.dumps(soak.report(faults), ensure_ascii=False, indent=2))  # noqa: T201
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
