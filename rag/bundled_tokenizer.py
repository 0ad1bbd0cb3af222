"""Text → token ids and offsets with XLM-RoBERTa's vocabulary, ready at once.

Handing all 250,002 pieces to `tokenizers` takes a second and 280 MB, because it builds a trie of
them. A text's best split depends only on the pieces that occur in it: so those are picked out
first, and `tokenizers` gets a vocabulary of a few hundred. Ids, splits and offsets are the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from rag.protocols import Offsets

SPECIAL_TOKENS = {
    "bos_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
BOS_ID, PAD_ID, EOS_ID, UNKNOWN_ID = range(4)
WORD_START = "▁"

# SentencePiece's nmt_nfkc: drop control characters, make every separator a space, then NFKC,
# except for the full-width tilde, which Japanese uses as a range sign.
DROPPED = "[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
SPACES = "[\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"
LONE_SURROGATES = re.compile("[\ud800-\udfff]")
TILDE, STAND_IN = "～", "\ufdd0"

SLICE_TEXTS = 256
"""Texts encoded at a time, so that memory does not grow with their number."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Token ids, the special ones at both ends, and where in the text each token starts."""

    ids: npt.NDArray[np.int64]
    starts: Offsets


def clean_text(text: str) -> str:
    """`text` without what is not Unicode text, of the same length, so that offsets stay true."""
    return LONE_SURROGATES.sub("\ufffd", text)


def build_tokenizer(vocabulary: list[tuple[str, float]]) -> Tokenizer:
    """XLM-RoBERTa's tokenizer over `vocabulary`, whose first four pieces are the special ones."""
    tokenizer = Tokenizer(models.Unigram(vocabulary, UNKNOWN_ID, False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(DROPPED), ""),
            normalizers.Replace(Regex(SPACES), " "),
            normalizers.Replace(TILDE, STAND_IN),
            normalizers.NFKC(),
            normalizers.Replace(STAND_IN, TILDE),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(WORD_START, prepend_scheme="always"),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", BOS_ID), ("</s>", EOS_ID)],
    )
    tokenizer.encode_special_tokens = True
    return tokenizer


class BundledTokenizer:
    """Encodes texts; safe to share between threads, since nothing changes after opening."""

    def __init__(
        self, pieces: Sequence[str], scores: npt.NDArray[np.float64], longest: Mapping[str, int]
    ) -> None:
        self.pieces = pieces
        self.scores = scores
        self.longest = longest
        self.ids = dict(zip(pieces, range(len(pieces)), strict=True))
        # An unknown character costs the lowest score less ten: that piece is always needed.
        self.always = [BOS_ID, PAD_ID, EOS_ID, UNKNOWN_ID, int(scores.argmin())]
        self.normalizer = build_tokenizer([(piece, 0.0) for piece in pieces[:4]]).normalizer

    @classmethod
    def open(cls, folder: Path) -> BundledTokenizer:
        """From the files that `write_vocabulary` wrote."""
        pieces = (folder / "pieces.txt").read_bytes().decode("utf-8").split("\n")
        longest = json.loads((folder / "longest.json").read_bytes())
        return cls(pieces, np.load(folder / "scores.npy"), longest)

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Each text's tokens, uncut."""
        encodings: list[Encoding] = []
        for start in range(0, len(texts), SLICE_TEXTS):
            encodings += self._encode_slice([clean_text(t) for t in texts[start:][:SLICE_TEXTS]])
        return encodings

    def _encode_slice(self, texts: list[str]) -> list[Encoding]:
        token_ids = self.select_ids(texts)
        lookup = np.array(token_ids, np.int64)
        chosen = [self.pieces[token_id] for token_id in token_ids]
        scores = self.scores[lookup].tolist()
        tokenizer = build_tokenizer(list(zip(chosen, scores, strict=True)))
        return [
            Encoding(
                lookup[encoding.ids],
                np.array([start for start, _ in encoding.offsets], np.int32),
            )
            for encoding in tokenizer.encode_batch(texts)
        ]

    def select_ids(self, texts: Iterable[str]) -> list[int]:
        """Every piece that occurs in the texts once they are normalised, after the fixed ones."""
        words = {word for text in texts for word in self.normalizer.normalize_str(text).split()}
        found: set[str] = set()
        for word in words:
            marked = WORD_START + word
            candidates = set(marked)
            for start in range(len(word)):
                longest = self.longest.get(marked[start : start + 2], 0)
                candidates.update(
                    marked[start:end]
                    for end in range(start + 2, min(start + longest, len(marked)) + 1)
                )
            found |= candidates & self.ids.keys()
        chosen = {self.ids[piece] for piece in found}
        return self.always + sorted(chosen.difference(self.always))


def write_vocabulary(folder: Path, pieces: Sequence[str], scores: Sequence[float]) -> None:
    """The vocabulary in files that open in a tenth of the time of a tokenizer.json."""
    folder.mkdir()
    (folder / "pieces.txt").write_bytes("\n".join(pieces).encode("utf-8"))
    np.save(folder / "scores.npy", np.array(scores, np.float64))
    (folder / "longest.json").write_text(json.dumps(measure_pieces(pieces)), "utf-8")


def measure_pieces(pieces: Iterable[str]) -> dict[str, int]:
    """The length of the longest piece by its first two characters."""
    longest: dict[str, int] = {}
    for piece in pieces:
        if len(piece) > longest.get(piece[:2], 1):
            longest[piece[:2]] = len(piece)
    return longest
