from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from eval.evaluation import EvalOptions, Program
from eval.models import compare_models
from eval.runs import WHOLE, Step
from rag.cli import main
from rag.config import Settings
from rag.errors import ConfigError
from tests.eval_fakes import ScriptedAssistant, make_note
from tests.fakes import write_notes
from tests.random_model import write_random_model

NOTE = make_note("a.md", "\n".join(f"事実{n}。" for n in range(4)))
GOLD = [
    {
        "query_id": f"q{n}",
        "question": f"{n}番は?",
        "answerable": True,
        "relevant": [{"doc_id": "a.md", "quote": f"事実{n}。"}],
    }
    for n in range(4)
]
FIRST = {f"{n}番は?": (f"a.md#{n + 1}",) for n in range(4)}
SECOND = {**FIRST, "0番は?": ("a.md#2", "a.md#1"), "1番は?": ("a.md#1",)}
"""Question 0 finds its line second, question 1 not at all."""

Compare = Callable[..., tuple[int, str]]


@pytest.fixture
def models(tmp_path: Path) -> dict[str, dict[str, Sequence[str]]]:
    """Two model folders of 10 and 25 bytes, and how each ranks."""
    rankings: dict[str, dict[str, Sequence[str]]] = {}
    for name, size, ranking in (("first", 10, FIRST), ("second", 25, SECOND)):
        folder = tmp_path / name
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "weights").write_bytes(b"w" * size)
        rankings[str(folder)] = dict(ranking)
    return rankings


@pytest.fixture
def compared(
    tmp_path: Path,
    models: dict[str, dict[str, Sequence[str]]],
    capsys: pytest.CaptureFixture[str],
) -> Compare:
    """The comparison of both models: its exit status and what it printed."""
    gold = tmp_path / "gold.jsonl"
    gold.write_text("\n".join(map(json.dumps, GOLD)), encoding="utf-8")

    def open_corpus(settings: Settings, step: Step) -> ScriptedAssistant:
        step("model", 1, 1)
        step("embedding", 1, 1)
        settings.index.mkdir()  # fails if two models shared one
        (settings.index / "vectors").write_bytes(b"v" * 7)
        return ScriptedAssistant((NOTE,), {WHOLE: models[settings.embedder]})

    program = Program(
        open_corpus=open_corpus,
        open_documents=lambda documents, settings, step: ScriptedAssistant(
            documents, {WHOLE: {"1?": ("p000000#1",)}}
        ),
    )

    def run(options: EvalOptions | None = None) -> tuple[int, str]:
        chosen = options or EvalOptions(gold=(gold,))
        status = compare_models(chosen, Settings(index=tmp_path / "mine"), list(models), program)
        return status, capsys.readouterr().out

    return run


def test_each_model_has_a_row_and_every_later_one_a_difference(
    compared: Compare, tmp_path: Path, models: dict[str, Any]
) -> None:
    status, out = compared(EvalOptions(gold=(tmp_path / "gold.jsonl",), json=True))
    assert status == 0
    first, second = json.loads(out)["models"]
    assert [first["embedder"], second["embedder"]] == list(models)
    assert first["figures"]["hit@1"]["value"] == 1
    assert second["figures"]["hit@1"]["value"] == 2 / 4
    assert second["figures"]["hit@5"]["value"] == 3 / 4
    assert second["figures"]["hit@1"]["low"] < 2 / 4 < second["figures"]["hit@1"]["high"]
    assert [first["model_bytes"], second["model_bytes"]] == [10, 25]
    assert first["index_bytes"] == 7
    assert first["chunks"] == 4
    assert min(run["question_ms"]["value"] for run in (first, second)) > 0
    assert min(run["chunks_per_second"] for run in (first, second)) > 0
    assert "against_first" not in first
    assert second["against_first"]["hit@1"]["losses"] == 2
    assert second["against_first"]["hit@5"]["difference"]["value"] == 3 / 4 - 1


def test_the_index_in_use_is_left_alone(compared: Compare, tmp_path: Path) -> None:
    assert compared()[0] == 0
    assert not (tmp_path / "mine").exists()


def test_the_table_says_what_differs_and_on_how_many_questions(compared: Compare) -> None:
    _, out = compared()
    assert "embedding models on 4 questions" in out
    assert all(head in out for head in ("hit@1", "hit@5", "ndcg@10", "ms", "chunks/s", "MB"))
    assert "hit@1: -0.500 (-1.000–0.000), 0 questions better, 2 worse" in out


def test_a_public_set_compares_models_without_an_index_on_disk(
    compared: Compare, tmp_path: Path
) -> None:
    path = tmp_path / "squad.json"
    paragraph = {"context": "題 [SEP] 段落", "qas": [{"id": "s1", "question": "1?"}]}
    path.write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}), encoding="utf-8")
    _, out = compared(EvalOptions(squad=path, json=True))
    assert [run["index_bytes"] for run in json.loads(out)["models"]] == [None, None]
    assert [run["figures"]["hit@1"]["value"] for run in json.loads(out)["models"]] == [1, 1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (EvalOptions(baseline=Path("b")), "--baseline"),
        (EvalOptions(write_baseline=Path("b")), "--write-baseline"),
        (EvalOptions(report=Path("r")), "--report"),
    ],
)
def test_what_is_made_for_one_model_is_refused_for_two(
    compared: Compare, options: EvalOptions, named: str
) -> None:
    with pytest.raises(ConfigError, match=f"{named} takes one embedding model, not 2"):
        compared(options)


def test_one_model_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="--embedder names a model twice: a, a"):
        compare_models(EvalOptions(), Settings(), ["a", "a"])


@pytest.mark.slow
def test_real_models_are_compared_on_notes_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_notes(tmp_path / "corpus")
    quotes = {
        "見えない時間は最長でどれくらい?": "最大で12時間まで延ばせる",
        "鍵の自動更新は?": "毎年自動で",
    }
    docs = ["aws/sqs.md", "aws/kms.md"]
    rows = [
        {"query_id": doc_id, "question": question, "answerable": True,
         "relevant": [{"doc_id": doc_id, "quote": quote}]}
        for doc_id, (question, quote) in zip(docs, quotes.items(), strict=True)
    ]  # fmt: skip
    Path("gold.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    random_model = write_random_model(tmp_path / "random-model")
    models = ["--embedder", "e5-small", "--embedder", str(random_model)]
    with pytest.raises(SystemExit) as done:
        main(["eval", "--gold", "gold.jsonl", "--json", *models])
    assert done.value.code == 0
    bundled, other = json.loads(capsys.readouterr().out)["models"]
    assert other["embedder"] == str(random_model)
    assert bundled["figures"]["hit@5"]["value"] == 1
    weights = random_model / "model.safetensors"
    assert weights.stat().st_size < other["model_bytes"] < bundled["model_bytes"] / 100
    assert other["index_bytes"] < bundled["index_bytes"]  # 32 dimensions against 384
    assert not Path("index").exists()
