from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.stages import main
from tests.fakes import NOTES, install_fake_embedder, write_notes


def test_every_stage_of_every_question_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    embedder = install_fake_embedder(monkeypatch)
    corpus = write_notes(tmp_path / "corpus")
    gold = tmp_path / "gold.jsonl"
    quote = "最大で12時間まで延ばせる"
    assert quote in NOTES["aws/sqs.md"]
    relevant = [{"doc_id": "aws/sqs.md", "quote": quote}]
    records = [
        {"query_id": f"q{n}", "question": f"可視性は{n}時間?", "answerable": True, "tags": [],
         "history": [], "relevant": relevant, "answer_keys": [["12時間"]]}
        for n in range(9)
    ]  # fmt: skip
    gold.write_text("\n".join(map(json.dumps, records)), "utf-8")
    main(["--corpus", str(corpus), "--index", str(tmp_path / "index"), "--gold", str(gold)])
    first, *table = capsys.readouterr().out.splitlines()
    assert first == "4 questions, 4 chunks"  # nine, less the five that warm up
    stages = [line[:34].strip() for line in table[1:]]
    assert {"embedding, whole", "leg: words (BM25)", "late interaction", "JSON"} <= set(stages)
    for line in table[1:]:
        least, middle, p95 = map(float, line[34:].split())
        assert 0 <= least <= middle <= p95
    assert set(embedder.queries) == {record["question"] for record in records}
