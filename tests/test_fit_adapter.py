import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from eval import adapted_encoder, fit_adapter
from eval.adapted_encoder import Encoder
from eval.fit_adapter import Step, info_nce, late_scores, losses, steps_of, train
from eval.training_notes import (
    Tokens,
    TrainingNote,
    TrainingPassage,
    TrainingQuestion,
    load_training_notes,
)
from rag.bundled_adapter import FILE, merged
from rag.bundled_embedding import BundledEmbedder
from rag.bundled_weights import name_tensors
from rag.chunking import ChunkLimits
from rag.late_interaction import TokenIndex
from rag.protocols import TokenVectors
from tests.test_embedding import tiny_embedder
from tests.tiny_weights import tiny_weights

LIMITS = ChunkLimits(chunk_tokens=60, merge_tokens=20)
NOTE = """# ノート

## 答え
デプロイは失敗すると自動で戻る。

## 自動
ノートの答えを探す。ガギパの答え。
"""


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Encoder:
    monkeypatch.setattr(adapted_encoder, "TOKEN_LAYERS", (2, 1))
    monkeypatch.setattr(adapted_encoder, "TOKEN_DIM", 16)
    monkeypatch.setattr(adapted_encoder, "RANK", 4)
    torch.manual_seed(0)
    return Encoder(tiny_weights())


def notes_in(
    folder: Path, lines: list[str], embedder: BundledEmbedder | None = None
) -> list[TrainingNote]:
    (folder / "学").mkdir(exist_ok=True)
    (folder / "学" / "題.md").write_text(NOTE, "utf-8")
    (folder / "学" / "題.tsv").write_text("\n".join(lines), "utf-8")
    return load_training_notes(folder, embedder or tiny_embedder(), LIMITS, 10_000)


QUESTIONS = ["paraphrase\t失敗すると？\t自動で戻る", "direct\t探す？\tノートの答えを探す"]


def test_a_question_knows_the_passage_and_the_unit_that_hold_its_quote(tmp_path: Path) -> None:
    (note,) = notes_in(tmp_path, QUESTIONS)
    assert note.subject == "学"
    assert len(note.passages) == 2
    assert [question.passages for question in note.questions] == [(0,), (1,)]
    assert [question.units for question in note.questions] == [((0, 0),), ((1, 0),)]
    for passage in note.passages:
        assert not (passage.units & ~passage.tokens.own).any()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("direct\t探す？", "with tabs between"),
        ("other\t探す？\t自動で戻る", "with tabs between"),
        ("direct\t探す？\tここにない", "exactly once"),
        ("direct\t探す？\t答え", "exactly once"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        notes_in(tmp_path, [line])


def test_late_scores_are_those_that_the_index_gives(tmp_path: Path, encoder: Encoder) -> None:
    (note,) = notes_in(tmp_path, QUESTIONS)
    passages = encoder([passage.tokens for passage in note.passages])
    questions = encoder([question.tokens for question in note.questions])
    counts = torch.zeros(encoder.vocabulary_size)
    found = late_scores(Step(note.passages, note.questions), passages, questions, counts, 2)

    def vectors_of(tokens: Tokens, vectors: torch.Tensor) -> TokenVectors:
        own = vectors.detach().numpy()[tokens.own]
        ids = tokens.ids[tokens.own].astype(np.int32)
        return TokenVectors(own, ids, np.zeros(len(ids), np.int32))

    pairs = zip(note.passages, passages, strict=True)
    index = TokenIndex.build([vectors_of(p.tokens, v) for p, (_, v) in pairs], 16)
    index.frequencies = np.zeros(0, np.int32)
    for row, (question, (_, vectors)) in enumerate(zip(note.questions, questions, strict=True)):
        own = vectors_of(question.tokens, vectors)
        wanted = index.scores(own.vectors, index.weights(own.ids), [0, 1])
        np.testing.assert_allclose(found[row].detach().numpy(), wanted, atol=0.02)


def test_several_right_ones_add_up_and_a_question_without_any_counts_for_nothing() -> None:
    cosines = torch.tensor([[0.9, 0.9, 0.1], [0.5, 0.4, 0.3]])
    right = torch.tensor([[True, True, False], [False, False, False]])
    logits = fit_adapter.SHARPNESS * cosines[0]
    wanted = -functional.log_softmax(logits, dim=0)[:2].logsumexp(dim=0)
    torch.testing.assert_close(info_nce(cosines, right), wanted)
    assert info_nce(cosines[1:], right[1:]) == 0


def test_an_epoch_takes_every_note_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_adapter, "TOKENS_A_STEP", 4 * 3)
    passage = TrainingPassage(Tokens(np.array([0, 5, 2]), np.ones(3, bool)), np.ones((1, 3), bool))
    notes = [
        TrainingNote(
            subject,
            (passage,),
            (TrainingQuestion(Tokens(np.array([0, 5, 2]), np.ones(3, bool)), (0,), ((0, 0),)),),
        )
        for subject in "ab" * 6
    ]
    steps = list(steps_of(notes, random.Random(1)))
    assert [len(step.passages) for step in steps] == [4] * 3
    assert all(
        [question.passages for question in step.questions]
        == [(number,) for number in range(len(step.passages))]
        for step in steps
    )


def test_training_makes_the_right_passages_likelier(tmp_path: Path, encoder: Encoder) -> None:
    notes = notes_in(tmp_path, QUESTIONS)
    encoder.begin_projection(notes)
    step = Step(notes[0].passages, notes[0].questions)
    counts = torch.zeros(encoder.vocabulary_size)
    before = losses(encoder, step, counts, 2)
    train(encoder, notes, epochs=40)
    assert (losses(encoder, step, counts, 2) < before).all()


def test_a_saved_adapter_merges_into_the_weights_that_were_trained(
    tmp_path: Path, encoder: Encoder
) -> None:
    notes = notes_in(tmp_path, QUESTIONS)
    train(encoder, notes, epochs=3)
    encoder.save(tmp_path)
    with np.load(tmp_path / FILE) as arrays:
        weights = merged(tiny_weights(), dict(arrays))
    assert len(arrays.files) == 2 * 2 * 6
    original, changed = name_tensors(tiny_weights()), name_tensors(weights)
    for name, values in changed.items():
        is_matrix = "encoder" in name and values.ndim == 2
        assert np.array_equal(values, original[name]) is not is_matrix
    (states, _), *_ = encoder([notes[0].passages[0].tokens])
    from transformers import BertModel

    plain = Encoder(weights).network
    assert isinstance(plain, BertModel)
    own = torch.tensor(notes[0].passages[0].tokens.ids)[None]
    again = plain(input_ids=own).last_hidden_state[0]
    torch.testing.assert_close(states, again, atol=0.02, rtol=0.02)
