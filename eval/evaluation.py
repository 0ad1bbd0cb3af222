"""`kotae eval`: a question set and the program → figures, report, exports, the gate's verdict."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from eval.baselines import read_baseline, write_baseline
from eval.console import RANK_COLUMNS, print_gate, print_summary, progress_on_stderr
from eval.datasets import Dataset, load_beir, load_squad
from eval.exports import (
    junit_xml,
    questions_json,
    summary_json,
    summary_markdown,
    trec_qrels,
    trec_run,
)
from eval.gate import GateResult, check_gate
from eval.gold import GoldError, GoldQuestion, Split, anchor_gold, load_gold
from eval.probing import embed_probes
from eval.report import render_report
from eval.runs import WHOLE, Evaluation, Kind, Searcher, Step, run_answers, run_searches
from eval.summary import Summary, summarise
from rag.config import Settings
from rag.errors import ConfigError
from rag.retrieval import LEGS
from rag.types import Document

GOLD_FOLDER = Path(__file__).parent / "gold"

OpenCorpus = Callable[[Settings, Step], Searcher]
OpenDocuments = Callable[[Sequence[Document], Settings, Step], Searcher]


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """The command line of `kotae eval`.

    No `gold` means the files of the settings' gold folder, or else those that ship. `legs` are run
    alone beside the whole program; None means all of them for gold, none for a public set, whose
    many questions would take long.
    """

    gold: tuple[Path, ...] = ()
    squad: Path | None = None
    beir: Path | None = None
    split: Split | Literal["all"] = "all"
    legs: tuple[str, ...] | None = None
    baseline: Path | None = None
    write_baseline: Path | None = None
    report: Path | None = None
    json: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """How the program under test is opened; tests put a fake here."""

    open_corpus: OpenCorpus
    open_documents: OpenDocuments


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured on what: the opened program, the questions, the notes they are about."""

    name: str
    kind: Kind
    searcher: Searcher
    questions: tuple[GoldQuestion, ...]
    documents: Mapping[str, Document]
    notes: tuple[str, ...] = ()


def run_eval(options: EvalOptions, settings: Settings, program: Program | None = None) -> int:
    """Measure, report, and compare; 0 when the gate passes or none was asked for, 1 when it fails.

    Raises RagError for what the user must mend: gold, baseline, corpus, a path.
    """
    _check_options(options)
    baseline = read_baseline(options.baseline) if options.baseline else None
    with progress_on_stderr() as step:
        subject = open_subject(options, settings, program or real_program(), step)
        evaluation = measure_subject(subject, _choose_legs(options, subject), step)
    summary = summarise(evaluation)
    gate = check_gate(evaluation, summary, baseline) if baseline else None
    try:
        if options.write_baseline:
            write_baseline(options.write_baseline, evaluation, summary)
        if options.report:
            _write_report(options.report, subject, evaluation, summary, gate)
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be written ({error.strerror})") from error
    _print(options, evaluation, summary, gate)
    return 0 if gate is None or gate.passed else 1


def _check_options(options: EvalOptions) -> None:
    sets = [name for name in ("gold", "squad", "beir") if getattr(options, name)]
    if len(sets) > 1:
        raise ConfigError(f"--{' and --'.join(sets)} exclude each other; give one question set")
    if unknown := set(options.legs or ()) - set(LEGS):
        raise ConfigError(f"unknown leg {sorted(unknown)[0]!r}; choose of {', '.join(LEGS)}")


def measure_subject(subject: Subject, legs: Sequence[str], step: Step) -> Evaluation:
    """The whole program and each leg alone; answers only where the notes are the user's own."""
    by_document = subject.kind != "gold"
    runs = {
        run: run_searches(subject.searcher, subject.questions, run, by_document, step)
        for run in (WHOLE, *legs)
    }
    answers = (
        {}
        if by_document
        else run_answers(subject.searcher, subject.questions, subject.documents, runs[WHOLE], step)
    )
    return Evaluation(
        name=subject.name,
        kind=subject.kind,
        questions=subject.questions,
        documents=subject.documents,
        runs=runs,
        answers=answers,
        probes=embed_probes(subject.searcher.embedder),
        notes=subject.notes,
    )


def open_subject(options: EvalOptions, settings: Settings, program: Program, step: Step) -> Subject:
    """The question set that was chosen, and the program opened over what it is about."""
    if options.squad:
        return _open_dataset("squad", load_squad(options.squad), options, settings, program, step)
    if options.beir:
        return _open_dataset("beir", load_beir(options.beir), options, settings, program, step)
    own = options.gold or _gold_files(settings.gold_folder)
    paths = own or _gold_files(GOLD_FOLDER)
    if not paths:
        raise GoldError([f"{GOLD_FOLDER} holds no *.jsonl; name gold questions with --gold FILE"])
    questions = _choose_split(load_gold(paths), options.split)
    searcher = program.open_corpus(settings, step)
    documents = {document.doc_id: document for document in searcher.documents()}
    if not own and not any(t.doc_id in documents for q in questions for t in q.targets):
        raise GoldError(
            [
                f"the questions that ship are about other notes than those in {settings.corpus}; "
                f"write your own in {settings.gold_folder}/*.jsonl (docs/ci.md), "
                "or name them with --gold FILE"
            ]
        )
    name = ", ".join(path.name for path in paths[:3]) + (" …" if len(paths) > 3 else "")
    return Subject(name, "gold", searcher, tuple(anchor_gold(questions, documents)), documents)


def _gold_files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob("*.jsonl")))


def _open_dataset(
    kind: Kind,
    dataset: Dataset,
    options: EvalOptions,
    settings: Settings,
    program: Program,
    step: Step,
) -> Subject:
    questions = _choose_split(dataset.questions, options.split)
    searcher = program.open_documents(dataset.documents, settings, step)
    documents = {document.doc_id: document for document in dataset.documents}
    return Subject(dataset.name, kind, searcher, tuple(questions), documents, dataset.notes)


def real_program() -> Program:
    """The real program; imported here, since it loads the models' libraries."""
    from rag.assistant import Assistant

    return Program(Assistant.open, Assistant.from_documents)


def _choose_split(questions: Sequence[GoldQuestion], split: str) -> list[GoldQuestion]:
    chosen = [question for question in questions if split in ("all", question.split)]
    if not chosen:
        raise GoldError([f"none of the {len(questions)} questions is in split {split!r}"])
    return chosen


def _choose_legs(options: EvalOptions, subject: Subject) -> tuple[str, ...]:
    if options.legs is not None:
        return options.legs
    return LEGS if subject.kind == "gold" else ()


def _write_report(
    folder: Path,
    subject: Subject,
    evaluation: Evaluation,
    summary: Summary,
    gate: GateResult | None,
) -> None:
    by_document = subject.kind != "gold"
    figures = summary_json(evaluation, summary, gate)
    whole = {**figures, "records": questions_json(evaluation)}
    qrels = trec_qrels(subject.questions, subject.searcher.chunks, by_document)
    files = {
        "index.html": render_report(evaluation, summary, gate),
        "report.json": json.dumps(whole, ensure_ascii=False, indent=1) + "\n",
        "junit.xml": junit_xml(gate, evaluation.name),
        "summary.md": summary_markdown(evaluation, summary, gate, RANK_COLUMNS),
        "qrels.trec": qrels,
    }
    for run, records in evaluation.runs.items():
        files[f"run.{run}.trec"] = trec_run(records, run, by_document)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _print(
    options: EvalOptions, evaluation: Evaluation, summary: Summary, gate: GateResult | None
) -> None:
    if options.json:
        figures = summary_json(evaluation, summary, gate)
        sys.stdout.write(json.dumps(figures, ensure_ascii=False) + "\n")
        return
    console = Console()
    print_summary(console, evaluation, summary)
    if gate:
        print_gate(console, gate)
    if options.report:
        console.print(f"report: {options.report / 'index.html'}")
