"""Texts → unit vectors and token vectors with any sentence-transformers model."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from rag.bundled_embedding import group_by_length
from rag.bundled_tokenizer import clean_text
from rag.config import DEFAULT_EMBEDDER
from rag.errors import ModelError
from rag.protocols import (
    EmbeddedPassage,
    Embedder,
    EmbedPassages,
    Matrix,
    PassageInput,
    Progress,
    TokenVectors,
)
from rag.token_projection import unit_rows

if TYPE_CHECKING:  # importing them takes seconds, which the default model never needs
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
HUB_TIMEOUT_SECONDS = 5.0
FALLBACK_MAX_TOKENS = 512
BATCH_TOKENS = 2048
ACCELERATOR_BATCH_TOKENS = 16_384
NO_TOKEN = np.zeros(1, np.int32)
CODE_VERSION = 1
"""Counts up whenever this file computes other vectors from the same model."""

Model = TypeVar("Model")
Prompts = tuple[str, str]
"""What stands before a question, and before a passage."""

FAMILY_PROMPTS: Mapping[str, Prompts] = {
    r"(multilingual-)?e5-(small|base|large)(-v2)?$": ("query: ", "passage: "),
    r"ruri-v3-": ("検索クエリ: ", "検索文書: "),
    r"ruri-(small|base|large)(-v2)?$": ("クエリ: ", "文章: "),
    r"glucose-base-ja-v2$": ("query: ", "passage: "),
}
"""Families whose model cards ask for prompts that their files do not hold."""


def open_sentence_transformer(name: str, progress: Progress | None = None) -> Embedder:
    """A model of that name from the hub or its cache, or in that folder; raises ModelError."""
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    def open_model(local_files_only: bool) -> Embedder:
        model = SentenceTransformer(name, local_files_only=local_files_only)
        return SentenceTransformerEmbedder(name, model)

    way_out = (
        "check the name, the folder or the network, or use the default with "
        f"`--embedder {DEFAULT_EMBEDDER}`"
    )
    return from_cache_or_hub("embedding model", name, open_model, way_out)


def from_cache_or_hub(
    kind: str, name: str, open_model: Callable[[bool], Model], way_out: str
) -> Model:
    """What `open_model`, told whether local files must do, opens: a folder, the cache, the hub.

    Raises ModelError, which names the kind of model and the way out.
    """
    try:
        return open_model(True)
    except Exception as error:
        reason = error
    if HUB_NAME.fullmatch(name) and not Path(name).exists():
        # Left to itself the hub's client retries every file for a minute without a network.
        try:
            ask_hub(name)
            return open_model(False)
        except Exception as error:
            reason = error
    first_line = next(iter(str(reason).strip().splitlines()), type(reason).__name__)
    raise ModelError(f"{kind} {name!r} does not open ({first_line}); {way_out}") from reason


def ask_hub(name: str) -> None:
    """Returns when the hub answers that it has the model; raises whatever says otherwise."""
    from huggingface_hub import HfApi

    repository = name if "/" in name else f"sentence-transformers/{name}"
    HfApi().model_info(repository, timeout=HUB_TIMEOUT_SECONDS)


def choose_prompts(name: str, stored: Mapping[str, str | None]) -> Prompts:
    """The model's own prompts if it stores any, else its family's, else none."""
    query = stored.get("query") or ""
    passage = stored.get("passage") or stored.get("document") or ""
    if query or passage:
        return query, passage
    last_part = Path(name).name.lower()
    for pattern, prompts in FAMILY_PROMPTS.items():
        if re.match(pattern, last_part):
            return prompts
    return "", ""


class SentenceTransformerEmbedder:
    """An Embedder over a sentence-transformers model, on the device that it chose."""

    def __init__(self, name: str, model: SentenceTransformer) -> None:
        self.name = name
        self.model = model.eval()
        self.tokenizer: Any = model.tokenizer
        self.query_prefix, self.passage_prefix = choose_prompts(name, model.prompts)
        limit = model.max_seq_length
        self.max_tokens = int(limit) if limit and limit < math.inf else FALLBACK_MAX_TOKENS
        self.lock = Lock()  # tokenizers of `transformers` are not safe to share between threads
        self.dim = self.token_dim = len(model.encode("a", show_progress_bar=False))
        self.fingerprint = _fingerprint(name, model, self.query_prefix, self.passage_prefix)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as a passage, uncut, special tokens and prefix included."""
        with self.lock:
            return self._count([self.passage_prefix + clean_text(text) for text in texts])

    def embed_queries(self, texts: Sequence[str]) -> tuple[Matrix, list[TokenVectors]]:
        """See Embedder."""
        with self.lock:
            return self._embed(self.query_prefix, texts, None)

    def embed_passages(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> tuple[Matrix, list[TokenVectors]]:
        """See Embedder."""
        with self.lock:
            return self._embed(self.passage_prefix, texts, progress)

    def bulk(self) -> AbstractContextManager[EmbedPassages]:
        """See Embedder; this model is in memory anyway."""
        return nullcontext(partial(embed_units_apart, self.embed_passages))

    def _count(self, texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        if callable(self.tokenizer):
            return [len(ids) for ids in self.tokenizer(list(texts), verbose=False)["input_ids"]]
        # Static models bring a tokenizer of the package `tokenizers`.
        return [len(encoding.ids) for encoding in self.tokenizer.encode_batch(list(texts))]

    def _embed(
        self, prefix: str, texts: Sequence[str], progress: Progress | None
    ) -> tuple[Matrix, list[TokenVectors]]:
        """Unit rows and token vectors of `prefix` + each text, in the order of `texts`."""
        texts = [clean_text(text) for text in texts]
        vectors = np.zeros((len(texts), self.dim), np.float32)
        token_vectors: dict[int, TokenVectors] = {}
        lengths = [min(n, self.max_tokens) for n in self._count([prefix + t for t in texts])]
        budget = ACCELERATOR_BATCH_TOKENS if self.model.device.type != "cpu" else BATCH_TOKENS
        done = 0
        for rows in group_by_length(lengths, budget):
            outputs: Any = self.model.encode(
                [texts[row] for row in rows],
                prompt=prefix,
                output_value=None,
                batch_size=len(rows),
                show_progress_bar=False,
            )
            for row, output in zip(rows, outputs, strict=True):
                vectors[row] = unit_rows(_array(output["sentence_embedding"])[None])[0]
                tokens = self._token_vectors(prefix, texts[row], output)
                token_vectors[row] = tokens or TokenVectors(
                    vectors[row : row + 1], NO_TOKEN, NO_TOKEN
                )
            if progress:
                done += sum(lengths[row] for row in rows)
                progress(done, sum(lengths))
        return vectors, [token_vectors[row] for row in range(len(texts))]

    def _token_vectors(
        self, prefix: str, text: str, output: Mapping[str, Any]
    ) -> TokenVectors | None:
        """The text's own tokens; None when the model has no vectors for them, or of another width.

        Some versions strip the text before they cut it into tokens: so it is stripped here too.
        """
        states = output.get("token_embeddings")
        if states is None or states.shape[-1] != self.dim or not _is_fast(self.tokenizer):
            return None
        whole = prefix + text
        encoded = self.tokenizer(
            whole.strip(),
            truncation=True,
            max_length=self.max_tokens,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        kept = _array(output["attention_mask"]) > 0
        ids = np.array(encoded["input_ids"], np.int32)
        if not np.array_equal(output["input_ids"].cpu().numpy()[kept], ids):
            return None
        stripped = len(whole) - len(whole.lstrip())
        spans = np.array(encoded["offset_mapping"], np.int32) + (stripped - len(prefix))
        # A token may begin with the prefix's last space, so its end decides.
        own = (np.array(encoded["special_tokens_mask"]) == 0) & (spans[:, 1] > 0)
        return TokenVectors(
            unit_rows(_array(states)[kept][own]),
            np.array(encoded["input_ids"], np.int32)[own],
            np.maximum(spans[own, 0], 0),
        )


def embed_units_apart(
    embed_texts: Callable[[Sequence[str], Progress | None], tuple[Matrix, list[TokenVectors]]],
    passages: Sequence[PassageInput],
    progress: Progress | None = None,
) -> list[EmbeddedPassage]:
    """Each unit embedded behind its head as a text of its own, each text once.

    For models that pool otherwise, or were not trained to tell a unit by its states in a passage.
    """
    units = [passage.unit_texts() for passage in passages]
    texts = dict.fromkeys(chain.from_iterable(units))
    texts |= dict.fromkeys(passage.text for passage in passages)
    vectors, tokens = embed_texts(list(texts), progress)
    row_of = {text: row for row, text in enumerate(texts)}
    return [
        EmbeddedPassage(vectors[[row_of[unit] for unit in own]], tokens[row_of[passage.text]])
        for passage, own in zip(passages, units, strict=True)
    ]


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = tensor.detach().float().cpu().numpy()
    return array


def _is_fast(tokenizer: object) -> bool:
    """Whether the tokenizer tells where in the text each token stands."""
    return bool(getattr(tokenizer, "is_fast", False))


def _fingerprint(name: str, model: SentenceTransformer, *prompts: str) -> str:
    """From the hub's commit, or a folder's files, and everything else that makes a vector."""
    folder = Path(name)
    if folder.is_dir():
        source: object = sorted(
            (path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
            for path in folder.rglob("*")
            if path.is_file()
        )
    else:
        config = getattr(getattr(model[0], "auto_model", None), "config", None)
        source = (name, getattr(config, "_commit_hash", None))
    parts = (source, prompts, model.max_seq_length, CODE_VERSION)
    return hashlib.sha256(repr(parts).encode("utf-8")).hexdigest()[:16]
