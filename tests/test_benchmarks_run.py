from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import run
from benchmarks.environments import Installed, NotInstalledError, find_python
from benchmarks.figures import ratios_to_ours, timings_of
from benchmarks.measuring import Bench, measure_round
from benchmarks.questions import NoteSet, squad_notes
from benchmarks.report import render_page, render_picture
from benchmarks.results import Results
from benchmarks.sessions import PeerError, Session
from benchmarks.systems import KOTAE, LANGCHAIN, OURS, PEERS, Environment, System
from eval.gold import GoldQuestion, Target, anchor_gold
from rag.loading import load_corpus
from tests.fakes import write_notes

SCRIPT = """
import sys
sys.path.insert(0, {peers!r})
from pathlib import Path
from protocol import serve


class CharacterPeer:
    # Ranks whole notes by the characters they share with the question.
    def index(self, corpus, folder, model):
        folder.mkdir(parents=True)
        (folder / "made").write_text(model.name)
        return len(list(corpus.rglob("*.md")))

    def open(self, corpus, folder, model):
        assert (folder / "made").read_text() == model.name
        paths = sorted(corpus.rglob("*.md"))
        self.notes = [(p.relative_to(corpus).as_posix(), p.read_text("utf-8")) for p in paths]

    def search(self, question, top_k):
        print("noise on standard output")
        if "fail" in sys.argv:
            raise RuntimeError("no such leg")
        if "die" in sys.argv:
            sys.exit(3)
        ranked = sorted(self.notes, key=lambda note: -len(set(question) & set(note[1])))
        return ranked[:top_k]


serve(CharacterPeer())
"""
QUESTIONS = {"可視性タイムアウトは何時間まで?": ("aws/sqs.md", "最大で12時間まで延ばせる")}


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "character_peer.py"
    path.write_text(SCRIPT.format(peers=str(PEERS)), "utf-8")
    return str(path)


@pytest.fixture
def notes(tmp_path: Path) -> NoteSet:
    corpus = write_notes(tmp_path / "corpus")
    documents = {note.doc_id: note for note in load_corpus(corpus, 10_000).documents}
    gold = [
        GoldQuestion(doc_id, question, True, (Target(doc_id, quote),))
        for question, (doc_id, quote) in QUESTIONS.items()
    ]
    return NoteSet("gold", corpus, tuple(anchor_gold(gold, documents)), documents)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "work", tmp_path / "model", patience_seconds=20)


HERE = Installed(Path(sys.executable), 5_000_000, {"kotae": "1.0"})


def test_a_round_measures_every_figure_in_two_processes(
    script: str, notes: NoteSet, bench: Bench
) -> None:
    found = measure_round(bench, System("peer", OURS, script), HERE, notes, load_questions=8)
    assert found["passages"] == 3
    assert found["scores"] == {"aws/sqs.md": [1, 1, 1]}
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]
    assert set(found["questions_per_second"]) == {"1", "4", "16"}
    assert found["resident_bytes"] > 1_000_000
    assert found["first_answer_seconds"] > found["p50_ms"] / 1000


@pytest.mark.parametrize(
    ("option", "message"), [("fail", "RuntimeError: no such leg"), ("die", "it ended")]
)
def test_a_peer_that_fails_is_told_by_its_own_words(
    script: str, notes: NoteSet, bench: Bench, option: str, message: str
) -> None:
    system = System("peer", OURS, script, options=(option,))
    with pytest.raises(PeerError, match=message):
        measure_round(bench, system, HERE, notes, load_questions=8)


def test_a_peer_that_does_not_answer_is_given_up(script: str, tmp_path: Path) -> None:
    with (
        Session(HERE.python, script, (), tmp_path) as session,
        pytest.raises(PeerError, match="no answer to 'memory' in 0 s"),
    ):
        session.ask(0.0, do="memory")


@pytest.fixture
def small_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, notes: NoteSet
) -> run.Plan:
    """A full run of three systems, of which one cannot be installed."""

    def install(environment: Environment, folder: Path) -> Installed:
        if environment is LANGCHAIN:
            raise NotInstalledError("no network")
        return HERE

    systems = (
        System(KOTAE, OURS, script),
        System("LangChain, dense", LANGCHAIN, script),
        System("txtai, hybrid", OURS, script),
    )
    monkeypatch.setattr(run, "SYSTEMS", systems)
    monkeypatch.setattr("benchmarks.figures.SYSTEMS", systems)
    monkeypatch.setattr(run, "install", install)
    monkeypatch.setattr(run, "WORK", tmp_path / "bench")
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(run, "gold_notes", lambda: notes)
    monkeypatch.setattr(run, "squad_path", lambda: None)
    monkeypatch.setattr(run, "open_plain_model", lambda folder: tmp_path / "model")
    monkeypatch.setattr(run.Run, "profile_stages", lambda self: "stage 1.0")
    return replace(run.FULL, rounds=2, load_questions=4)


def kept(tmp_path: Path) -> Results:
    return Results.load(tmp_path / "results" / "full.json")


def test_a_run_measures_what_it_can_and_says_what_it_cannot(
    small_run: run.Plan, tmp_path: Path
) -> None:
    run.Run(small_run, fresh=False).carry_out()
    results = kept(tmp_path)
    assert results.complete
    assert [set(measured) for measured in results.rounds] == [{KOTAE, "txtai, hybrid"}] * 2
    assert results.problems["LangChain, dense"] == "not installed: no network"
    assert "not on this machine" in results.problems["JSQuAD"]
    page = render_page(results, "images/benchmarks.svg")
    assert "| txtai, hybrid | 3 |" in page
    assert "- LangChain, dense: not installed: no network" in page
    assert "stage 1.0" in page
    picture = ElementTree.fromstring(render_picture(results))
    assert len(picture.findall(".//{*}rect")) == 2 * 4


def test_an_interrupted_run_goes_on_where_it_stopped(
    small_run: run.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def measure(bench: Bench, system: System, *rest: Any) -> dict[str, Any]:  # noqa: ANN401
        if len(measured) == 3 and not (tmp_path / "again").exists():
            raise KeyboardInterrupt
        measured.append(system.name)
        return measure_round(bench, system, *rest)

    monkeypatch.setattr(run, "measure_round", measure)
    with pytest.raises(KeyboardInterrupt):
        run.Run(small_run, fresh=False).carry_out()
    assert not kept(tmp_path).complete
    (tmp_path / "again").touch()
    run.Run(small_run, fresh=False).carry_out()
    assert kept(tmp_path).complete
    assert len(measured) == 4  # two systems in two rounds, none of them twice
    run.Run(small_run, fresh=False).carry_out()
    assert len(measured) == 8  # a run that was complete is measured anew


def test_ratios_pair_the_rounds_that_both_took_part_in() -> None:
    def measured(seconds: float, rate: float) -> dict[str, Any]:
        names = ("index_seconds", "first_answer_seconds", "p50_ms", "p95_ms", "p99_ms")
        rates = dict.fromkeys(("1", "4", "16"), rate)
        timings = dict.fromkeys((*names, "resident_bytes"), seconds)
        return {**timings, "questions_per_second": rates}

    results = Results("key", "full", "machine", "now")
    results.rounds = [
        {KOTAE: measured(2, 30), "peer": measured(4, 10)},
        {KOTAE: measured(1, 20), "peer": measured(3, 10)},
        {"peer": measured(99, 1)},
    ]
    ratio = ratios_to_ours(results, "peer")
    assert (ratio["p50_ms"].least, ratio["p50_ms"].most, ratio["p50_ms"].n) == (4 / 2, 3 / 1, 2)
    assert ratio["rate@4"].middle == (30 / 10 + 20 / 10) / 2
    assert timings_of(results, KOTAE)["index_seconds"].middle == (2 + 1) / 2


def test_paragraphs_of_a_public_set_become_notes_with_their_questions(tmp_path: Path) -> None:
    path = tmp_path / "squad.json"
    paragraphs = [
        {"context": f"題{n} [SEP] 段落{n}", "qas": [{"id": f"s{n}", "question": f"{n}?"}]}
        for n in range(5)
    ]
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), "utf-8")
    found = squad_notes(path, tmp_path / "notes", count=2)
    assert len(list((tmp_path / "notes").iterdir())) == 5
    assert [len(question.targets) for question in found.questions] == [1, 1]
    assert found == squad_notes(path, tmp_path / "notes", count=2)
    doc_id = found.questions[0].targets[0].doc_id
    number = found.questions[0].query_id.removeprefix("s")
    assert (tmp_path / "notes" / doc_id).read_text("utf-8") == f"# 題{number}\n\n段落{number}\n"


def test_a_python_that_is_nowhere_is_said_to_be_missing() -> None:
    assert find_python((3, 11)) == Path(sys.executable)
    with pytest.raises(NotInstalledError, match=r"no Python 9\.0 or later on this machine"):
        find_python((9, 0))
