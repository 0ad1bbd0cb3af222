"""`kotae eval --embedder A --embedder B`: embedding models side by side on one question set."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eval.console import estimate_cell, progress_on_stderr
from eval.evaluation import EvalOptions, Program, open_subject, real_program
from eval.exports import estimate_words
from eval.intervals import Estimate, quantile_estimate
from eval.runs import WHOLE, RunRecord, Step, run_searches
from eval.significance import Comparison, compare
from eval.summary import Figures, measure_ranking
from rag.bundled_model import open_bundled_model
from rag.config import DEFAULT_EMBEDDER, Settings
from rag.errors import ConfigError

COMPARED = ("hit@1", "hit@5", "ndcg@10")
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class ModelRun:
    """One model on the question set; `scores` holds COMPARED by query_id.

    `indexing_seconds` run from the first note read to the index ready, the model being open.
    A public set is indexed in memory, so that its `index_bytes` are None.
    """

    name: str
    figures: Figures
    question_ms: Estimate
    chunks: int
    indexing_seconds: float
    model_bytes: int
    index_bytes: int | None
    scores: Mapping[str, Mapping[str, float]]

    @property
    def chunks_per_second(self) -> float:
        """Chunks made, embedded and indexed in a second."""
        return self.chunks / self.indexing_seconds


class IndexingClock:
    """Passes the progress of one model on, and remembers when its notes began to be indexed."""

    def __init__(self, name: str, step: Step) -> None:
        self.name = name
        self.step = step
        self.started: float | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """A `Step`; opening the model is the one stage that does not count."""
        if what != "model" and self.started is None:
            self.started = time.perf_counter()
        self.step(f"{self.name}: {what}", done, total)


def compare_models(
    options: EvalOptions, settings: Settings, names: Sequence[str], program: Program | None = None
) -> int:
    """Indexes and searches with each model, aside from the index in use; always 0.

    Raises RagError for what the user must mend.
    """
    _check_options(options, names)
    with progress_on_stderr() as step:
        runs = [
            measure_model(options, settings, name, program or real_program(), step)
            for name in names
        ]
    if options.json:
        sys.stdout.write(json.dumps(comparison_json(runs), ensure_ascii=False) + "\n")
    else:
        print_comparison(Console(), runs)
    return 0


def measure_model(
    options: EvalOptions, settings: Settings, name: str, program: Program, step: Step
) -> ModelRun:
    """One model, from reading the notes to the last question."""
    clock = IndexingClock(_short(name), step)
    with TemporaryDirectory(prefix="kotae-eval-", ignore_cleanup_errors=True) as folder:
        index = Path(folder) / "index"
        own = settings.model_copy(update={"embedder": name, "index": index})
        opening = time.perf_counter()
        subject = open_subject(options, own, program, clock)
        indexing_seconds = time.perf_counter() - (clock.started or opening)
        by_document = subject.kind != "gold"
        records = run_searches(subject.searcher, subject.questions, WHOLE, by_document, clock)
        return ModelRun(
            name=name,
            figures=measure_ranking(subject.questions, records),
            question_ms=quantile_estimate([record.took_ms for record in records.values()], 0.5),
            chunks=len(subject.searcher.chunks),
            indexing_seconds=indexing_seconds,
            model_bytes=folder_bytes(model_folder(name)),
            index_bytes=folder_bytes(index) if index.exists() else None,
            scores=_scores(records),
        )


def model_folder(name: str) -> Path:
    """Where an opened model's files are: its own folder, else the cache of the hub."""
    if name == DEFAULT_EMBEDDER:
        return open_bundled_model()
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    repository = name if "/" in name else f"sentence-transformers/{name}"
    return Path(snapshot_download(repository, local_files_only=True))


def folder_bytes(folder: Path) -> int:
    """The size of all files in it; a link counts as the file it leads to."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def comparison_json(runs: Sequence[ModelRun]) -> dict[str, Any]:
    """`{"models": […]}`: each one's figures, from the second on also against the first."""
    models = []
    for run in runs:
        figures = {metric: asdict(run.figures[metric]) for metric in COMPARED}
        model = {
            "embedder": run.name,
            "figures": figures,
            "question_ms": asdict(run.question_ms),
            "chunks": run.chunks,
            "chunks_per_second": round(run.chunks_per_second, 2),
            "model_bytes": run.model_bytes,
            "index_bytes": run.index_bytes,
        }
        if run is not runs[0]:
            model["against_first"] = {
                metric: asdict(comparison) for metric, comparison in against(runs[0], run).items()
            }
        models.append(model)
    return {"models": models}


def against(first: ModelRun, other: ModelRun) -> dict[str, Comparison]:
    """By metric: `other` after `first`, question by question."""
    asked = sorted(first.scores)
    return {
        metric: compare(
            [first.scores[query_id][metric] for query_id in asked],
            [other.scores[query_id][metric] for query_id in asked],
        )
        for metric in COMPARED
    }


def print_comparison(console: Console, runs: Sequence[ModelRun]) -> None:
    """A row for each model, then how each later one differs from the first."""
    size = runs[0].figures[COMPARED[0]].n
    table = Table(
        title=f"embedding models on {size} questions; small print: 95% intervals",
        title_justify="left",
        box=SIMPLE,
        pad_edge=False,
    )
    table.add_column("model", overflow="fold", min_width=8)
    for head in (*COMPARED, "ms", "chunks/s", "model\nMB", "index\nMB"):
        table.add_column(head, justify="right", no_wrap=True)
    for run in runs:
        index = "–" if run.index_bytes is None else f"{run.index_bytes / MEGABYTE:.1f}"
        table.add_row(
            escape(run.name),
            *(estimate_cell(run.figures[metric]) for metric in COMPARED),
            f"{run.question_ms.value:.1f}",
            f"{run.chunks_per_second:.1f}",
            f"{run.model_bytes / MEGABYTE:.1f}",
            index,
        )
    console.print(table)
    for run in runs[1:]:
        console.print(f"{escape(run.name)} against {escape(runs[0].name)}:", soft_wrap=True)
        for metric, comparison in against(runs[0], run).items():
            difference = estimate_words(comparison.difference)
            console.print(
                f"  {metric}: {difference}, {comparison.wins} questions better, "
                f"{comparison.losses} worse",
                soft_wrap=True,
            )


def _check_options(options: EvalOptions, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ConfigError(f"--embedder names a model twice: {', '.join(names)}")
    for name in ("baseline", "write_baseline", "report"):
        if getattr(options, name):
            raise ConfigError(
                f"--{name.replace('_', '-')} takes one embedding model, not {len(names)}; "
                "give one --embedder"
            )


def _scores(records: Mapping[str, RunRecord]) -> dict[str, dict[str, float]]:
    """COMPARED for each question that has something to find."""
    return {
        query_id: {metric: record.scores[metric] for metric in COMPARED}
        for query_id, record in records.items()
        if record.scores
    }


def _short(name: str) -> str:
    return Path(name).name or name
