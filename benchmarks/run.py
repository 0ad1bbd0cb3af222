"""Kotae beside what a user would pick instead: `make bench`, or `python -m benchmarks.run`.

Every round indexes the same notes with every system in turn, each in new processes, and asks the
same questions; the order turns from round to round, so that what else the machine does falls on
all alike. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.environments import Installed, NotInstalledError, install, is_installed
from benchmarks.measuring import Bench, measure_quality, measure_round
from benchmarks.plain_model import open_plain_model
from benchmarks.questions import NoteSet, draw, gold_notes, squad_notes, squad_path
from benchmarks.report import write_report
from benchmarks.results import ROOT, Results, open_results
from benchmarks.sessions import PeerError
from benchmarks.systems import OURS, SYSTEMS, System

WORK = ROOT / ".bench"
RESULTS = ROOT / "benchmarks" / "results"
ROUNDS_SHARE = 0.75
"""Of the minutes there are: then no further round begins, so that the rest is measured too."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: a full run, or a quick one that shows whether all is well."""

    mode: str
    rounds: int
    minutes: float
    load_questions: int
    squad_questions: int
    questions: int | None = None
    patience_seconds: float = 420.0


FULL = Plan(
    "full", rounds=5, minutes=38, load_questions=160, squad_questions=500, patience_seconds=900
)
QUICK = Plan("quick", rounds=2, minutes=7, load_questions=64, squad_questions=0, questions=80)


class Run:
    """One run of `make bench`, from the environments to the report."""

    def __init__(self, plan: Plan, fresh: bool) -> None:
        self.plan = plan
        self.file = RESULTS / f"{plan.mode}.json"
        self.results = open_results(self.file, plan.mode, [plan], fresh)
        self.results.problems.clear()  # what failed before is tried again
        self.notes = gold_notes()
        if plan.questions:
            few = tuple(draw(self.notes.questions, plan.questions))
            self.notes = replace(self.notes, questions=few)
        self.bench = Bench(
            WORK / "work", open_plain_model(WORK / "e5-small"), plan.patience_seconds
        )
        self.installed: dict[str, Installed] = {}
        self.started = time.monotonic()

    def carry_out(self) -> None:
        """Everything in order; the results are saved after each step."""
        self.install_all()
        self.started = time.monotonic()
        self.note_set(self.notes)
        for number in range(self.plan.rounds):
            if self.minutes_gone() > ROUNDS_SHARE * self.plan.minutes:
                break
            self.run_round(number)
        self.run_quality(self.notes)
        self.run_squad()
        self.results.stages = self.profile_stages()
        self.results.complete = True
        self.results.save(self.file)

    def install_all(self) -> None:
        """The environments; what cannot be installed is told, and left out."""
        for system in self.systems():
            name = system.environment.name
            folder = WORK / "environments" / name
            if name not in self.installed:
                say(f"environment {name}: {folder}")
                try:
                    self.installed[name] = install(system.environment, folder)
                except NotInstalledError as error:
                    self.problem(system, f"not installed: {error}")
                    continue
            found = self.installed[name]
            self.results.systems[system.name] = {
                "environment": name,
                "size_bytes": found.size_bytes,
                "versions": found.versions,
            }
        self.results.save(self.file)

    def systems(self) -> Iterator[System]:
        """Those that this run measures and that have shown no problem yet."""
        for system in SYSTEMS:
            ready = is_installed(
                system.environment, WORK / "environments" / system.environment.name
            )
            large = system.environment.large and not ready
            if self.plan.mode == QUICK.mode and (large or not system.quick):
                continue
            if system.name not in self.results.problems:
                yield system

    def run_round(self, number: int) -> None:
        """Every timed system once, beginning with another one each time."""
        if len(self.results.rounds) <= number:
            self.results.rounds.append({})
        measured = self.results.rounds[number]
        timed = [system for system in self.systems() if system.timed]
        turn = number % max(len(timed), 1)
        for system in timed[turn:] + timed[:turn]:
            if system.name in measured:
                continue
            say(f"round {number + 1}: {system.name}")
            try:
                found = measure_round(
                    self.bench,
                    system,
                    self.installed[system.environment.name],
                    self.notes,
                    self.plan.load_questions,
                )
            except PeerError as error:
                self.problem(system, str(error))
                continue
            quality = {name: found.pop(name) for name in ("scores", "passage_chars")}
            quality["passages"] = found["passages"]
            self.results.quality.setdefault(system.name, {})[self.notes.name] = quality
            measured[system.name] = found
            self.results.save(self.file)

    def run_quality(self, notes: NoteSet) -> None:
        """How well every system finds that was not asked these questions yet."""
        for system in self.systems():
            known = self.results.quality.setdefault(system.name, {})
            if notes.name in known or self.minutes_gone() > self.plan.minutes:
                continue
            say(f"{notes.name}: {system.name}")
            try:
                installed = self.installed[system.environment.name]
                known[notes.name] = measure_quality(self.bench, system, installed, notes)
            except PeerError as error:
                self.results.problems[f"{system.name}, {notes.name}"] = str(error)
            self.results.save(self.file)

    def run_squad(self) -> None:
        """The public set, where it is at hand and the plan has room for it."""
        path = squad_path()
        if not self.plan.squad_questions or path is None:
            reason = "not part of a quick run" if path else "not on this machine"
            self.results.problems["JSQuAD"] = f"{reason} (KOTAE_JSQUAD names its file)"
            return
        notes = squad_notes(path, WORK / "work" / "squad", self.plan.squad_questions)
        self.note_set(notes)
        self.run_quality(notes)

    def profile_stages(self) -> str:
        """What `python -m benchmarks.stages` prints, in Kotae's own environment."""
        say("stages")
        python = self.installed[OURS.name].python
        index = WORK / "work" / "stages-index"
        command = [str(python), "-m", "benchmarks.stages", "--index", str(index)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def note_set(self, notes: NoteSet) -> None:
        """What a reader must know of a question set."""
        self.results.sets[notes.name] = {
            "questions": len(notes.questions),
            "notes": sum(1 for _ in notes.corpus.rglob("*.md")),
            "left_out": notes.left_out,
        }

    def problem(self, system: System, message: str) -> None:
        """Said at once and in the report; the system is left out from here on."""
        say(f"{system.name}: {message}")
        self.results.problems[system.name] = message
        self.results.save(self.file)

    def minutes_gone(self) -> float:
        """Since the environments were ready."""
        return (time.monotonic() - self.started) / 60


def say(line: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


def report_paths(mode: str) -> tuple[Path, Path]:
    """Where the page and its picture go: the docs show full runs alone."""
    if mode == FULL.mode:
        return ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "benchmarks.svg"
    return RESULTS / f"{mode}.md", RESULTS / f"{mode}.svg"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and writes the report; with --report-only from what was measured before."""
    parser = argparse.ArgumentParser("python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few systems, two rounds")
    parser.add_argument("--fresh", action="store_true", help="do not take up an interrupted run")
    parser.add_argument("--report-only", action="store_true", help="write the report anew")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else FULL
    run = Run(plan, options.fresh) if not options.report_only else None
    if run:
        run.carry_out()
    results = run.results if run else Results.load(RESULTS / f"{plan.mode}.json")
    page, picture = report_paths(plan.mode)
    write_report(results, page, picture)
    say(f"report: {page}")


if __name__ == "__main__":
    main()
