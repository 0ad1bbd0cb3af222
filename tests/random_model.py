"""A tiny sentence-transformers model with random weights, as files that the real library opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rag.bundled_tokenizer import SPECIAL_TOKENS, build_tokenizer
from tests.tiny_weights import tiny_pieces

DIM = 32
MAX_TOKENS = 128
TYPES = "sentence_transformers.models"
SETTINGS: dict[str, object] = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": f"{TYPES}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{TYPES}.Pooling"},
    ],
    "1_Pooling/config.json": {"word_embedding_dimension": DIM, "pooling_mode_mean_tokens": True},
    "sentence_bert_config.json": {"max_seq_length": MAX_TOKENS},
}


def write_random_model(folder: Path) -> Path:
    """A BERT of two layers over the pieces of tests/tiny_weights.py, mean-pooled; seeded."""
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    pieces, scores = tiny_pieces()
    fast: Any = PreTrainedTokenizerFast
    tokenizer = build_tokenizer(list(zip(pieces, scores, strict=True)))
    fast(tokenizer_object=tokenizer, **SPECIAL_TOKENS).save_pretrained(folder)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(pieces),
            hidden_size=DIM,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=4 * DIM,
            max_position_embeddings=MAX_TOKENS,
            pad_token_id=1,
        )
    ).save_pretrained(folder)
    for name, settings in SETTINGS.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(settings), "utf-8")
    return folder
