from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from eval.evaluation import EvalOptions, Program, run_eval
from eval.gold import GoldError
from eval.runs import WHOLE
from rag.config import Settings
from rag.errors import ConfigError
from rag.retrieval import LEGS
from tests.eval_fakes import ScriptedAssistant, make_note

NOTE = make_note("aws/a.md", "\n".join(f"事実{n:02}。" for n in range(20)))
GOLD = [
    {
        "query_id": f"q{n:02}",
        "question": f"{n}番は?",
        "tags": ["direct"],
        "answerable": True,
        "relevant": [{"doc_id": "aws/a.md", "quote": f"事実{n:02}。"}],
        "split": "tune" if n % 2 else "held",
    }
    for n in range(20)
]
RIGHT = {f"{n}番は?": (f"aws/a.md#{n + 1}",) for n in range(20)}
PARAGRAPHS = [
    {"context": f"題 [SEP] 段落{n}", "qas": [{"id": f"s{n}", "question": f"{n}?"}]} for n in (1, 2)
]


def program(**legs: dict[str, tuple[str, ...]]) -> Program:
    """Opens a scripted assistant; a set in memory ranks its first document for every question."""
    return Program(
        open_corpus=lambda settings, step: ScriptedAssistant((NOTE,), {WHOLE: RIGHT, **legs}),
        open_documents=lambda documents, settings, step: ScriptedAssistant(
            documents, {WHOLE: dict.fromkeys(("1?", "2?"), ("p000000#1",))}
        ),
    )


@pytest.fixture
def options(tmp_path: Path) -> EvalOptions:
    path = tmp_path / "gold.jsonl"
    path.write_text("\n".join(map(json.dumps, GOLD)), encoding="utf-8")
    return EvalOptions(gold=(path,))


def run(options: EvalOptions, opened: Program | None = None) -> int:
    return run_eval(options, Settings(), opened or program())


def test_without_a_baseline_it_measures_and_passes(
    options: EvalOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(options) == 0
    output = capsys.readouterr()
    assert "gold.jsonl: 20 questions, 20 answerable, over 1 documents" in output.out
    assert all(name in output.out for name in (WHOLE, *LEGS, "hit@5", "direct", "tune", "held"))
    assert "answers" in output.err


def test_json_is_one_object_and_nothing_else(
    options: EvalOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(replace(options, json=True)) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["set"]["questions"] == 20
    assert figures["runs"]["whole"]["hit@5"]["value"] == 1
    assert set(figures["runs"]) == {WHOLE, *LEGS}
    assert figures["gate"] is None


def test_the_gate_passes_unchanged_and_fails_with_a_dead_leg(
    options: EvalOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "baseline"
    assert run(replace(options, write_baseline=folder)) == 0
    gated = replace(options, baseline=folder, report=tmp_path / "report")
    assert run(gated) == 0
    assert "gate passed on 20 questions" in capsys.readouterr().out
    assert run(gated, program(words={})) == 1
    output = capsys.readouterr().out
    assert "FAIL words hit@5: 1.000 → 0.000 on 20 questions" in output
    assert "gate FAILED on 20 questions" in output
    assert "lost: q00, q01, q02" in output


def test_the_report_folder_holds_every_export(options: EvalOptions, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "report"
    assert run(replace(options, report=folder)) == 0
    assert {path.name for path in folder.iterdir()} == {
        "index.html",
        "report.json",
        "junit.xml",
        "summary.md",
        "qrels.trec",
        *(f"run.{name}.trec" for name in (WHOLE, *LEGS)),
    }
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert len(report["records"]) == 20
    assert report["records"][3]["runs"]["dense"]["hits"][0]["chunk_id"] == "aws/a.md#4"
    assert ElementTree.parse(folder / "junit.xml").getroot().get("tests") == "0"
    assert (folder / "qrels.trec").read_text().startswith("q00 0 aws/a.md#1 1\n")


@pytest.mark.parametrize(("split", "count"), [("tune", 10), ("held", 10), ("all", 20)])
def test_a_split_asks_its_own_questions(
    options: EvalOptions, capsys: pytest.CaptureFixture[str], split: str, count: int
) -> None:
    run(replace(options, split=split, json=True))  # type: ignore[arg-type]
    assert json.loads(capsys.readouterr().out)["set"]["questions"] == count


def test_a_public_set_is_scored_by_document_with_the_whole_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"data": [{"paragraphs": PARAGRAPHS}]}), encoding="utf-8")
    assert run(EvalOptions(squad=path, json=True, report=tmp_path / "report")) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["runs"]["whole"]["hit@1"]["value"] == 1 / 2
    assert set(figures["runs"]) == {WHOLE}
    assert "auroc" not in figures["runs"]["whole"]
    assert (tmp_path / "report" / "qrels.trec").read_text() == "s1 0 p000000 1\ns2 0 p000001 1\n"
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "悪い順に 1 問だけ" in page


def test_two_question_sets_at_once_are_refused(options: EvalOptions) -> None:
    with pytest.raises(ConfigError, match="--gold and --squad exclude each other"):
        run(replace(options, squad=Path("squad.json")))


def test_notes_of_ones_own_are_not_scored_on_the_questions_that_ship(tmp_path: Path) -> None:
    settings = Settings(corpus=Path("mine"), gold_folder=tmp_path / "gold")
    with pytest.raises(GoldError, match=r"other notes than those in mine; write your own in ") as e:
        run_eval(EvalOptions(), settings, program())
    assert len(e.value.faults) == 1


def test_questions_in_the_gold_folder_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.jsonl").write_text(json.dumps(GOLD[0]), encoding="utf-8")
    assert run_eval(EvalOptions(), Settings(gold_folder=tmp_path), program()) == 0
    assert "mine.jsonl: 1 questions, 1 answerable" in capsys.readouterr().out


def test_a_program_that_ships_no_gold_asks_for_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.evaluation.GOLD_FOLDER", tmp_path)
    with pytest.raises(GoldError, match=r"holds no \*\.jsonl; name gold questions with --gold"):
        run(EvalOptions())


def test_an_unknown_leg_is_refused(options: EvalOptions) -> None:
    with pytest.raises(ConfigError, match="unknown leg 'sparse'; choose of dense"):
        run(replace(options, legs=("sparse",)))


def test_a_quote_that_is_not_in_the_notes_stops_before_anything_is_measured(
    options: EvalOptions,
) -> None:
    (path,) = options.gold
    path.write_text(path.read_text().replace("aws/a.md", "aws/b.md"), encoding="utf-8")
    with pytest.raises(GoldError, match=r"gold\.jsonl:1: unknown doc_id 'aws/b\.md'"):
        run(options)


def test_an_empty_split_is_refused(options: EvalOptions) -> None:
    (path,) = options.gold
    path.write_text(path.read_text().replace('"tune"', '"held"'), encoding="utf-8")
    with pytest.raises(GoldError, match="none of the 20 questions is in split 'tune'"):
        run(replace(options, split="tune"))


def test_a_report_that_cannot_be_written_is_the_users_mistake(
    options: EvalOptions, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ConfigError, match=r"taken: cannot be written"):
        run(replace(options, report=tmp_path / "taken"))
