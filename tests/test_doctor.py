from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.assistant import Assistant
from rag.doctor import Finding, check_legs, diagnose
from rag.late_interaction import TokenIndex
from rag.lexical import BM25Index
from rag.retrieval import LEGS, Retriever
from tests.fakes import BigramEmbedder, install_fake_embedder, make_settings
from tests.test_snapshot import folder_of

SUBJECTS = ["猫", "犬", "鳥", "魚", "馬", "牛", "羊", "熊", "鹿", "狐"]
NOTES = {
    f"{number}.md": f"## {name}の暮らし\n\n{name}{name}は{number}時間眠り、{name}の声で鳴く。\n"
    for number, name in enumerate(SUBJECTS, start=1)
}


@pytest.fixture(autouse=True)
def embedder(monkeypatch: pytest.MonkeyPatch) -> BigramEmbedder:
    return install_fake_embedder(monkeypatch)


@pytest.fixture
def assistant(tmp_path: Path) -> Assistant:
    return Assistant.open(make_settings(tmp_path, NOTES))


def names_of_failed(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings if not finding.ok]


def test_a_sound_index_passes_every_check(tmp_path: Path) -> None:
    findings = diagnose(make_settings(tmp_path, NOTES))
    assert [finding.name for finding in findings] == [
        "notes",
        "index",
        *(f"leg {leg}" for leg in LEGS),
    ]
    assert names_of_failed(findings) == []
    assert "10 notes" in findings[0].message


def test_notes_that_cannot_be_read_are_named_but_do_not_fail(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, NOTES)
    (settings.corpus / "binary.md").write_bytes(bytes(range(256)) * 4)
    findings = diagnose(settings)
    assert findings[0].ok
    assert "skipped binary.md: " in findings[0].message


def test_without_notes_the_rest_is_not_looked_at(tmp_path: Path) -> None:
    findings = diagnose(make_settings(tmp_path, {}))
    assert names_of_failed(findings) == ["notes"]
    assert len(findings) == 1
    assert "no such folder" in findings[0].message


def test_a_damaged_index_is_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, NOTES)
    Assistant.open(settings)
    (folder_of(settings.index) / "words.npz").write_bytes(b"")
    findings = diagnose(settings)
    assert names_of_failed(findings) == ["index"]
    assert "run `kotae index`" in findings[-1].message
    assert findings[-1].remediation


def kill_leg(assistant: Assistant, leg: str) -> Assistant:
    """The assistant with one leg that finds nothing, and says so with scores of zero."""
    snapshot = assistant.snapshot
    tokens, units = snapshot.tokens, snapshot.dense.units.vectors()
    if leg == "late":
        dead_tokens = [
            replace(tokens.tokens(row), vectors=0 * tokens.tokens(row).vectors)
            for row in range(tokens.size)
        ]
        snapshot = replace(snapshot, tokens=TokenIndex.build(dead_tokens, tokens.dim))
    elif leg == "dense":
        dead = type(snapshot.dense.units).build(np.zeros_like(units))
        snapshot = replace(snapshot, dense=type(snapshot.dense)(dead, snapshot.dense.ends))
    else:
        nothing = BM25Index.build([[] for _ in snapshot.chunks])
        snapshot = replace(snapshot, **{leg: nothing})  # type: ignore[arg-type]
    retriever = Retriever(snapshot, assistant.embedder, assistant.retriever.aliases)
    return Assistant(assistant.settings, snapshot, assistant.embedder, retriever)


@pytest.mark.parametrize("leg", LEGS)
def test_a_dead_leg_fails_though_fusion_hides_it(leg: str, assistant: Assistant) -> None:
    damaged = kill_leg(assistant, leg)
    assert damaged.search("馬の暮らし").hits[0].chunk.doc_id == "5.md"
    failed = [finding for finding in check_legs(damaged) if not finding.ok]
    assert [finding.name for finding in failed] == [f"leg {leg}"]
    assert failed[0].message.startswith("0 of 10 chunks")
    assert "kotae index --rebuild" in failed[0].remediation


def test_a_leg_whose_rows_are_mixed_up_fails(assistant: Assistant) -> None:
    snapshot = assistant.snapshot
    turned = np.roll(snapshot.dense.units.vectors(), 3, axis=0)
    units = type(snapshot.dense.units).build(turned)
    broken = replace(snapshot, dense=type(snapshot.dense)(units, snapshot.dense.ends))
    retriever = Retriever(broken, assistant.embedder, assistant.retriever.aliases)
    damaged = Assistant(assistant.settings, broken, assistant.embedder, retriever)
    assert names_of_failed(list(check_legs(damaged))) == ["leg dense"]


def test_an_index_without_chunks_is_not_sound(tmp_path: Path) -> None:
    findings = diagnose(make_settings(tmp_path, {"a.md": "---\ntitle: 題\n---\n"}))
    assert names_of_failed(findings) == [f"leg {leg}" for leg in LEGS]


def test_a_low_limit_of_question_length_does_not_stop_the_checks(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, NOTES).model_copy(update={"max_question_chars": 12})
    assert names_of_failed(diagnose(settings)) == []
