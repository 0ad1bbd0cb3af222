from __future__ import annotations

import errno
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from rag import embedding_run, indexing, token_segments
from rag.aliases import Aliases
from rag.chunking import embedding_text, passage_of
from rag.config import Settings
from rag.embedding_run import FRAME_CHARS, SCRATCH, EmbeddingStore
from rag.errors import EmptyCorpusError, IndexCorruptError, IndexMismatchError, IndexWriteError
from rag.indexing import (
    PARTIAL,
    build_snapshot,
    corpus_hash,
    fresh_snapshot,
    limits_of,
    recipe_of,
)
from rag.loading import load_corpus, make_document
from rag.protocols import Matrix, Progress, TokenVectors
from rag.retrieval import Retriever
from rag.snapshot import Snapshot
from rag.token_segments import TokenCodes
from rag.types import Document
from tests.fakes import NOTES, BigramEmbedder, make_settings, silent
from tests.test_snapshot import assert_same_contents, folder_of

SQS = NOTES["aws/sqs.md"]


def refresh(settings: Settings, rebuild: bool = False) -> tuple[Snapshot, list[str]]:
    """The snapshot as a new process would get it, and what was embedded for it."""
    embedder = BigramEmbedder()
    snapshot, _ = fresh_snapshot(settings, embedder, silent, rebuild)
    return snapshot, embedder.passages


def texts_of(snapshot: Snapshot, doc_id: str) -> list[str]:
    """All texts that one note's chunks have embedded: one that is its own only unit, once."""
    chunks = [chunk for chunk in snapshot.chunks if chunk.doc_id == doc_id]
    return [
        text
        for chunk in chunks
        for text in dict.fromkeys([*passage_of(chunk).unit_texts(), embedding_text(chunk)])
    ]


def write(settings: Settings, name: str, text: str) -> None:
    (settings.corpus / name).write_text(text, encoding="utf-8")


def test_a_first_index_embeds_every_unit_and_every_chunk_once(tmp_path: Path) -> None:
    long = "## 長い節\n\n" + "".join(f"{number}番目の文は{'長' * 50}い。" for number in range(4))
    snapshot, embedded = refresh(make_settings(tmp_path, {**NOTES, "長い.md": long}))
    expected = [text for doc_id in snapshot.documents for text in texts_of(snapshot, doc_id)]
    assert sorted(embedded) == sorted(expected)
    counts = [len(passage_of(chunk).unit_texts()) for chunk in snapshot.chunks]
    assert min(counts) == 1
    assert max(counts) > 1


def test_unchanged_notes_are_neither_embedded_nor_written_again(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    first, _ = refresh(settings)
    before = (settings.index / "CURRENT").stat().st_mtime_ns
    again, embedded = refresh(settings)
    assert embedded == []
    assert again.manifest == first.manifest
    assert (settings.index / "CURRENT").stat().st_mtime_ns == before


def test_a_changed_note_embeds_only_its_changed_chunks(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    refresh(settings)
    write(settings, "aws/sqs.md", SQS.replace("最大受信回数", "設定した回数"))
    snapshot, embedded = refresh(settings)
    changed = [text for text in texts_of(snapshot, "aws/sqs.md") if "設定した回数" in text]
    assert sorted(embedded) == sorted(changed)
    assert len(changed) == 1  # the chunk is its own only unit


def test_a_new_note_embeds_itself_alone(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    refresh(settings)
    write(settings, "新しい.md", "## 節\n\nあとから加えた文。\n")
    snapshot, embedded = refresh(settings)
    assert sorted(embedded) == sorted(texts_of(snapshot, "新しい.md"))


def test_a_renamed_note_is_not_embedded_again(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    refresh(settings)
    (settings.corpus / "aws/kms.md").rename(settings.corpus / "鍵.md")
    snapshot, embedded = refresh(settings)
    assert embedded == []
    assert "鍵.md" in snapshot.documents


def test_a_removed_note_disappears(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    refresh(settings)
    (settings.corpus / "aws/kms.md").unlink()
    snapshot, embedded = refresh(settings)
    assert embedded == []
    assert set(snapshot.documents) == {"aws/sqs.md", "生物.md"}
    retriever = Retriever(snapshot, BigramEmbedder(), Aliases.of([]))
    hits = retriever.search("カスタマー管理キーのローテーション", top_k=50).hits
    assert {hit.chunk.doc_id for hit in hits} == {"aws/sqs.md", "生物.md"}


def test_new_tags_are_taken_over_without_embedding(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    refresh(settings)
    write(settings, "aws/kms.md", NOTES["aws/kms.md"].replace("[SAP-C02]", "[DOP-C02]"))
    snapshot, embedded = refresh(settings)
    assert embedded == []
    assert {chunk.tags for chunk in snapshot.chunks if chunk.doc_id == "aws/kms.md"} == {
        ("DOP-C02",)
    }


@pytest.mark.parametrize(
    "changed",
    [
        {**NOTES, "aws/sqs.md": SQS.replace("30秒", "60秒")},
        {**NOTES, "a.md": "先頭に来るノート。\n", "生物.md": "# 別の題\n\n別の文。\n"},
        {"aws/kms.md": NOTES["aws/kms.md"], "z.md": "★★★\n"},
    ],
    ids=["one fact", "another order", "two notes gone"],
)
def test_bringing_up_to_date_equals_building_anew(changed: dict[str, str], tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "updated")
    refresh(settings)
    for path in settings.corpus.rglob("*.md"):
        path.unlink()
    updated, _ = refresh(make_settings(tmp_path / "updated", changed))
    anew, _ = refresh(make_settings(tmp_path / "anew", changed))
    assert_same_notes(updated, anew)


def assert_same_notes(first: Snapshot, second: Snapshot) -> None:
    """Same contents, wherever the notes were read from."""
    assert_same_contents(*(replace(s, documents=without_paths(s)) for s in (first, second)))


def without_paths(snapshot: Snapshot) -> dict[str, Document]:
    return {name: replace(note, source_path="") for name, note in snapshot.documents.items()}


@pytest.mark.parametrize(("was", "now"), [("<br>", "\n"), ("\n", "<br>")])
def test_equal_text_in_other_units_is_embedded_again(was: str, now: str) -> None:
    """Both read the same, but only a line break makes two units of the vector leg."""
    lines = ("あ" * 50, "い" * 50)
    notes = [[make_document("a.md", f"## 節\n\n{mark.join(lines)}\n")] for mark in (was, now)]
    settings = Settings(embedder="bigram")
    old = build_snapshot(notes[0], settings, BigramEmbedder(), silent)
    anew = build_snapshot(notes[1], settings, BigramEmbedder(), silent)
    assert list(map(embedding_text, old.chunks)) == list(map(embedding_text, anew.chunks))
    assert list(map(passage_of, old.chunks)) != list(map(passage_of, anew.chunks))
    assert_same_contents(build_snapshot(notes[1], settings, BigramEmbedder(), silent, old), anew)


def test_notes_are_embedded_a_slice_at_a_time_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, embedded = refresh(make_settings(tmp_path / "whole"))
    monkeypatch.setattr(embedding_run, "SLICE", 3)
    sliced, again = refresh(make_settings(tmp_path / "sliced"))
    assert again == embedded
    assert_same_notes(sliced, whole)


def test_progress_of_embedding_counts_characters_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    embedder = BigramEmbedder()
    fresh_snapshot(make_settings(tmp_path), embedder, lambda *step: seen.append(step))
    steps = [step for step in seen if step[0] == "embedding"]
    work = sum(len(text) + FRAME_CHARS for text in embedder.passages)
    assert (steps[0], steps[-1]) == (("embedding", 0, work), ("embedding", work, work))
    assert steps == sorted(steps)
    assert [stage for stage, done, total in seen if done == total][-1] == "writing"


class StoppedEmbedder(BigramEmbedder):
    """Is interrupted at the call with that number."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def embed_passages(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> tuple[Matrix, list[TokenVectors]]:
        self.calls -= 1
        if not self.calls:
            raise KeyboardInterrupt
        return super().embed_passages(texts, progress)


def stop_indexing(settings: Settings, calls: int) -> list[str]:
    """An indexing run that is interrupted; what it had embedded."""
    embedder = StoppedEmbedder(calls)
    with pytest.raises(KeyboardInterrupt):
        fresh_snapshot(settings, embedder, silent)
    return embedder.passages


def test_an_interrupted_run_is_taken_up_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, embedded = refresh(make_settings(tmp_path / "whole"))
    monkeypatch.setattr(embedding_run, "SLICE", 1)
    settings = make_settings(tmp_path / "stopped")
    before = stop_indexing(settings, calls=3)
    assert before == embedded[:2]
    snapshot, after = refresh(settings)
    assert before + after == embedded
    assert_same_notes(snapshot, whole)
    for row in range(whole.tokens.size):
        found, expected = (TokenCodes.of(s.tokens.records(row)) for s in (snapshot, whole))
        assert np.allclose(found.scales, expected.scales, rtol=1e-6)
        assert np.array_equal(found.codes, expected.codes)
    assert not (settings.index / PARTIAL).exists()


def test_a_damaged_or_foreign_remainder_is_embedded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, embedded = refresh(make_settings(tmp_path / "whole"))
    monkeypatch.setattr(embedding_run, "SLICE", 1)
    settings = make_settings(tmp_path / "stopped")
    stop_indexing(settings, calls=3)
    first, second = sorted((settings.index / PARTIAL).rglob("*.npz"))
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[:200])
    assert refresh(settings)[1] == embedded


def test_another_model_takes_nothing_from_an_interrupted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_run, "SLICE", 1)
    settings = make_settings(tmp_path)
    before = stop_indexing(settings, calls=3)
    other = BigramEmbedder(fingerprint="another")
    fresh_snapshot(settings, other, silent)
    assert other.passages[: len(before)] == before


def test_another_model_chunking_or_tokenizer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path)
    refresh(settings)
    for other, field in (
        (settings.model_copy(update={"chunk_tokens": 200}), "chunking"),
        (settings.model_copy(update={"merge_tokens": 0}), "chunking"),
    ):
        with pytest.raises(IndexMismatchError, match=f"{field} = "):
            fresh_snapshot(other, BigramEmbedder(), silent)
    for embedder, field in (
        (BigramEmbedder(dim=128), "dim"),
        (BigramEmbedder(fingerprint="bigram-2"), "fingerprint"),
    ):
        with pytest.raises(IndexMismatchError, match=f"{field} = "):
            fresh_snapshot(settings, embedder, silent)
    for version, field in (("TEXT_VERSION", "tokenizer"), ("CHUNKING_VERSION", "chunking")):
        with monkeypatch.context() as patch:
            patch.setattr(indexing, version, 99)
            with pytest.raises(IndexMismatchError, match=f"{field} = "):
                fresh_snapshot(settings, BigramEmbedder(), silent)
    assert refresh(settings)[1] == []  # as it was


def test_a_rebuild_mends_another_model(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    refresh(settings)
    embedder = BigramEmbedder(dim=128)
    snapshot, _ = fresh_snapshot(settings, embedder, silent, rebuild=True)
    assert snapshot.dense.units.vectors().shape[1] == 128
    assert fresh_snapshot(settings, embedder, silent)[0].manifest == snapshot.manifest


def test_a_corrupt_index_is_refused_unless_it_is_rebuilt(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    refresh(settings)
    (folder_of(settings.index) / "words.npz").write_bytes(b"")
    with pytest.raises(IndexCorruptError, match=r"words\.npz"):
        refresh(settings)
    refresh(settings, rebuild=True)
    assert refresh(settings)[1] == []


def test_a_rebuild_takes_nothing_from_what_is_there(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    _, first = refresh(settings)
    _, again = refresh(settings, rebuild=True)
    assert again == first


def test_chunks_are_never_over_the_limit_of_the_embedder() -> None:
    limits = limits_of(Settings(chunk_tokens=5000, merge_tokens=4000), BigramEmbedder())
    assert (limits.chunk_tokens, limits.merge_tokens) == (504, 504)  # 512 and room for specials
    tiny = BigramEmbedder()
    tiny.max_tokens = 4
    assert limits_of(Settings(), tiny).chunk_tokens == 16


def test_the_recipe_names_the_versions_that_make_terms() -> None:
    recipe = recipe_of(Settings(), BigramEmbedder())
    assert recipe.embedder == "bigram"
    assert "sudachipy" in recipe.tokenizer
    assert recipe.chunking.endswith("300/120")


def test_the_corpus_hash_tells_names_titles_and_texts_not_order() -> None:
    notes = [make_document(name, text) for name, text in NOTES.items()]
    whole = corpus_hash(notes)
    assert corpus_hash(notes[::-1]) == whole
    renamed, retitled = replace(notes[0], doc_id="b.md"), replace(notes[0], title="別")
    others = [notes[1:], *([note, *notes[1:]] for note in (renamed, retitled))]
    assert len({whole, *map(corpus_hash, others)}) == 4
    assert corpus_hash([replace(notes[0], doc_id="\udce3.md")])  # a name that is not UTF-8


def test_the_problems_of_other_notes_are_handed_on(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    write(settings, "empty.md", "")
    _, corpus = fresh_snapshot(settings, BigramEmbedder(), silent)
    assert [problem.path for problem in corpus.problems] == ["empty.md"]
    assert len(corpus.documents) == 3


def test_an_emptied_corpus_leaves_the_old_index(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    refresh(settings)
    before = folder_of(settings.index)
    for path in settings.corpus.rglob("*.md"):
        path.unlink()
    with pytest.raises(EmptyCorpusError, match="no readable note"):
        refresh(settings)
    assert folder_of(settings.index) == before


def test_an_index_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    settings.index.write_text("a file", encoding="utf-8")
    with pytest.raises(IndexWriteError, match=r"File exists.*--index DIR"):
        refresh(settings)


def test_a_read_only_folder_is_told_and_its_index_still_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path)
    first, _ = refresh(settings)

    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("rag.indexing.FileLock.acquire", refuse)
    assert refresh(settings)[0].manifest == first.manifest
    write(settings, "new.md", "新しいノート。")
    with pytest.raises(IndexWriteError, match="Permission denied"):
        refresh(settings)
    (settings.corpus / "new.md").unlink()
    assert refresh(settings)[0].manifest == first.manifest


def test_a_failing_write_releases_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("rag.snapshot.sync", refuse_space)
        with pytest.raises(IndexWriteError, match="No space left"):
            refresh(settings)
    assert refresh(settings)[0].manifest.counts["documents"] == 3


def refuse_space(_: Path) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_threads_that_index_at_once_embed_once(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    embedders = [BigramEmbedder(pause_seconds=0.1) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda e: fresh_snapshot(settings, e, silent)[0], embedders))
    assert len({snapshot.manifest.snapshot_id for snapshot in found}) == 1
    assert sorted(bool(embedder.passages) for embedder in embedders) == [False, False, True]


def test_rows_of_all_legs_stand_for_the_same_chunks(tmp_path: Path) -> None:
    snapshot, _ = refresh(make_settings(tmp_path))
    embedder = BigramEmbedder()
    for row, chunk in enumerate(snapshot.chunks):
        vectors, tokens = embedder.embed_passages(
            [embedding_text(chunk), *passage_of(chunk).unit_texts()]
        )
        np.testing.assert_array_equal(snapshot.tokens.tokens(row).ids, tokens[0].ids)
        own = snapshot.dense.units.vectors()[snapshot.dense.span(row)]
        np.testing.assert_allclose(own, vectors[1:], atol=1e-6)


def test_a_large_index_shares_its_token_vectors_with_the_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_segments, "SHARED_BYTES", 1)
    settings = make_settings(tmp_path)
    first, _ = fresh_snapshot(settings, BigramEmbedder(), silent)
    inode = (folder_of(settings.index) / "tokens-0.bin").stat().st_ino
    known = first
    for number in range(3):
        write(settings, f"{number}.md", f"# 題{number}\n\nあとから加えた{number}番目の文。\n")
        known, _ = fresh_snapshot(settings, BigramEmbedder(), silent, known=known)
        files = sorted(folder_of(settings.index).glob("tokens-*.bin"))
        assert files[0].stat().st_ino == inode
        assert len(files) == number + 2
    assert not (settings.index / PARTIAL).exists()
    assert not (settings.index / "snapshots" / first.manifest.snapshot_id).exists()
    again, _ = refresh(settings)
    documents = load_corpus(settings.corpus, settings.max_note_bytes).documents
    anew = build_snapshot(documents, settings, BigramEmbedder(), silent)
    for snapshot in (known, again):
        assert_same_contents(snapshot, anew)


def test_what_a_killed_run_left_of_token_vectors_is_removed(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    left = settings.index / PARTIAL / SCRATCH / "tokens-left.bin"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    EmbeddingStore(settings.index / PARTIAL, "fingerprint")
    assert not left.exists()


def test_token_vectors_that_cannot_be_written_are_told_and_the_old_index_stands(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    before, _ = refresh(settings)
    write(settings, "more.md", "# 題\n\n増えた文。\n")
    (settings.index / PARTIAL).write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(IndexWriteError, match="token vectors could not be written"):
        refresh(settings)
    (settings.corpus / "more.md").unlink()
    assert refresh(settings)[0].manifest == before.manifest
