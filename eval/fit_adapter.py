"""Trains rag/data/adapter.npz and rag/data/token_projection.npy; see rag.bundled_adapter.

    python -m eval.fit_adapter [--training DIR] [--epochs N] [--out DIR]

Everything is learnt from the notes and questions of eval/training/; none is a gold question or a
note that ships. A step takes a few notes: each question has to tell the passages that answer it
from all others of the step, by late interaction and by its vector, and the units that do (InfoNCE:
van den Oord et al., 2018, https://arxiv.org/abs/1807.03748; several right ones add up).
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from eval.adapted_encoder import Encoder
from eval.training_notes import (
    TrainingNote,
    TrainingPassage,
    TrainingQuestion,
    count_in_passages,
    load_training_notes,
)
from rag.bundled_adapter import FILE
from rag.bundled_embedding import open_bundled_embedder
from rag.bundled_forward import count_processors
from rag.bundled_weights import find_weight_file, read_bundled_weights
from rag.config import load_settings
from rag.indexing import limits_of

LEARNING_RATE, PROJECTION_RATE = 4e-4, 1e-3
WARM_UP_STEPS = 8
LEAST_RATE = 0.05
TOKENS_A_STEP = 8_000
"""Of passages: notes are taken until there are as many. A token takes a megabyte of memory."""
SAME_SUBJECT = 0.5
"""How often the next note of a step is of the first one's subject, so harder to tell from it."""
QUESTIONS_A_STEP = 120
SHARPNESS = 40.0
"""What cosines are multiplied with before the softmax."""
VECTOR_WEIGHT, UNIT_WEIGHT = 0.5, 0.5
"""Of the losses by vector, of passages and of units, beside that by late interaction."""
SEED = 1


@dataclass(frozen=True, slots=True)
class Step:
    """Passages of a few notes, and questions with the passages and units that answer them."""

    passages: tuple[TrainingPassage, ...]
    questions: tuple[TrainingQuestion, ...]

    @classmethod
    def of(cls, notes: Sequence[TrainingNote], random_numbers: random.Random) -> Step:
        """The notes together; of more questions than a step holds some."""
        passages: list[TrainingPassage] = []
        questions: list[TrainingQuestion] = []
        for note in notes:
            first = len(passages)
            passages.extend(note.passages)
            questions.extend(
                TrainingQuestion(
                    question.tokens,
                    tuple(first + number for number in question.passages),
                    tuple((first + number, unit) for number, unit in question.units),
                )
                for question in note.questions
            )
        if len(questions) > QUESTIONS_A_STEP:
            questions = random_numbers.sample(questions, QUESTIONS_A_STEP)
        return cls(tuple(passages), tuple(questions))


def steps_of(notes: Sequence[TrainingNote], random_numbers: random.Random) -> Iterator[Step]:
    """One epoch: every note once."""
    left = list(notes)
    random_numbers.shuffle(left)
    while left:
        together = [left.pop(0)]
        while left and sum(note.token_count for note in together) < TOKENS_A_STEP:
            alike = [note for note in left if note.subject == together[0].subject]
            wanted = alike and random_numbers.random() < SAME_SUBJECT
            note = random_numbers.choice(alike) if wanted else left[0]
            left.remove(note)
            together.append(note)
        yield Step.of(together, random_numbers)


def losses(encoder: Encoder, step: Step, frequencies: Tensor, passage_count: int) -> Tensor:
    """Shape (3,): by late interaction, by vector, and of units by vector."""
    passages = encoder([passage.tokens for passage in step.passages])
    questions = encoder([question.tokens for question in step.questions])
    late = late_scores(step, passages, questions, frequencies, passage_count)
    units = [pooled(states, own) for (states, _), own in zip(passages, step.passages, strict=True)]
    vectors = torch.stack([states.mean(dim=0) for states, _ in questions])
    cosines = functional.normalize(vectors, dim=-1) @ torch.cat(units).T
    counts = torch.tensor([len(own) for own in units])
    owners = torch.repeat_interleave(torch.arange(len(units)), counts)
    dense = torch.full(late.shape, -2.0).scatter_reduce(
        1, owners.expand(len(cosines), -1), cosines, "amax"
    )
    firsts = (counts.cumsum(0) - counts).tolist()
    right = torch.zeros(late.shape, dtype=torch.bool)
    right_units = torch.zeros(cosines.shape, dtype=torch.bool)
    for row, question in enumerate(step.questions):
        right[row, list(question.passages)] = True
        right_units[row, [firsts[number] + unit for number, unit in question.units]] = True
    return torch.stack(
        [info_nce(late, right), info_nce(dense, right), info_nce(cosines, right_units)]
    )


def late_scores(
    step: Step,
    passages: Sequence[tuple[Tensor, Tensor]],
    questions: Sequence[tuple[Tensor, Tensor]],
    frequencies: Tensor,
    passage_count: int,
) -> Tensor:
    """As TokenIndex.scores, differentiable: shape (questions, passages)."""
    pairs = zip(passages, step.passages, strict=True)
    own = [tokens[torch.tensor(passage.tokens.own)] for (_, tokens), passage in pairs]
    padded = nn.utils.rnn.pad_sequence(own, batch_first=True)
    lengths = torch.tensor([len(tokens) for tokens in own])
    is_padding = torch.arange(padded.shape[1]) >= lengths[:, None]
    scores = []
    for (_, tokens), question in zip(questions, step.questions, strict=True):
        mine = torch.tensor(question.tokens.own)
        counts = frequencies[torch.tensor(question.tokens.ids)[mine]]
        weights = torch.log1p((passage_count - counts + 0.5) / (counts + 0.5)).sqrt()
        cosines = (padded @ tokens[mine].T).masked_fill(is_padding[:, :, None], -1.0)
        scores.append(cosines.amax(dim=1) @ (weights / weights.sum()))
    return torch.stack(scores)


def pooled(states: Tensor, passage: TrainingPassage) -> Tensor:
    """Unit rows, the mean of each unit's states."""
    return functional.normalize(torch.tensor(passage.units, dtype=torch.float32) @ states, dim=-1)


def info_nce(cosines: Tensor, right: Tensor) -> Tensor:
    """The mean over the questions that have a right one; 0 where none has."""
    kept = right.any(dim=1)
    logits = SHARPNESS * cosines[kept]
    chosen = logits.masked_fill(~right[kept], -math.inf)
    return (logits.logsumexp(dim=1) - chosen.logsumexp(dim=1)).sum() / max(1, int(kept.sum()))


def train(encoder: Encoder, notes: Sequence[TrainingNote], epochs: int) -> None:
    """AdamW, with a short warm-up and a cosine to the end."""
    random_numbers = random.Random(SEED)
    counts = count_in_passages(notes, encoder.vocabulary_size)
    passage_count = sum(len(note.passages) for note in notes)
    thin = [p for adapter in encoder.adapters.values() for p in (adapter.down, adapter.up)]
    rates = [LEARNING_RATE, PROJECTION_RATE]
    groups = [{"params": thin}, {"params": [encoder.projection]}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98))
    steps = [step for _ in range(epochs) for step in steps_of(notes, random_numbers)]
    weights = torch.tensor([1.0, VECTOR_WEIGHT, UNIT_WEIGHT])
    for done, step in enumerate(steps):
        wave = 0.5 * (1 + math.cos(math.pi * done / len(steps)))
        share = min(1.0, (done + 1) / WARM_UP_STEPS) * max(LEAST_RATE, wave)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * share
        found = losses(encoder, step, torch.tensor(counts, dtype=torch.float32), passage_count)
        optimizer.zero_grad()
        (found @ weights).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([*thin, encoder.projection], 1.0)
        optimizer.step()
        shown = " ".join(f"{value:.3f}" for value in found.tolist())
        sys.stderr.write(f"step {done + 1} of {len(steps)}: {shown}\n")


def main() -> None:
    """Reads the training notes, trains, and writes both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).parent
    parser.add_argument("--training", type=Path, default=here / "training")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=here.parent / "rag" / "data")
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(count_processors())  # FAISS has set it to one
    settings, embedder = load_settings(), open_bundled_embedder("e5-small")
    limits = limits_of(settings, embedder)
    notes = load_training_notes(options.training, embedder, limits, settings.max_note_bytes)
    encoder = Encoder(read_bundled_weights(find_weight_file()))
    encoder.begin_projection(notes)
    train(encoder, notes, options.epochs)
    sys.stderr.write(f"{options.out / FILE}: {encoder.save(options.out)}\n")


if __name__ == "__main__":
    main()
