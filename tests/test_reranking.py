from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rag.assistant import Assistant
from rag.bundled_tokenizer import build_tokenizer
from rag.chunking import embedding_text
from rag.config import Settings, load_settings
from rag.errors import ConfigError, ModelError
from rag.loading import make_document
from rag.reranking import RERANKED, open_reranker
from tests.test_retrieval import RETRIEVER

QUESTION = "料金は月に何円か"


class Backwards:
    """Likes best what was found last."""

    name = "backwards"

    def __init__(self) -> None:
        self.read: list[tuple[str, list[str]]] = []

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        self.read.append((question, list(passages)))
        return [number / len(passages) for number in range(len(passages))]


def test_the_reranker_orders_the_candidates() -> None:
    reranker = Backwards()
    candidates = RETRIEVER.search(QUESTION, top_k=RERANKED).hits
    hits = replace(RETRIEVER, reranker=reranker).search(QUESTION, top_k=3).hits
    assert [hit.chunk for hit in hits] == [hit.chunk for hit in candidates[:-4:-1]]
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert all(hit.score == hit.signals["rerank"] for hit in hits)
    assert hits[0].signals["late"] == candidates[-1].signals["late"]
    texts = [embedding_text(hit.chunk) for hit in candidates]
    assert reranker.read == [(QUESTION, texts)]


def test_equals_stay_as_they_were_found() -> None:
    class Undecided(Backwards):
        def score(self, question: str, passages: Sequence[str]) -> list[float]:
            return [0.5] * len(passages)

    found = replace(RETRIEVER, reranker=Undecided()).search(QUESTION).hits
    assert [h.chunk for h in found] == [h.chunk for h in RETRIEVER.search(QUESTION).hits]


def test_a_leg_alone_is_not_reranked() -> None:
    reranker = Backwards()
    hits = replace(RETRIEVER, reranker=reranker).search(QUESTION, legs={"words"}).hits
    assert reranker.read == []
    assert hits == RETRIEVER.search(QUESTION, legs={"words"}).hits


def test_a_reranker_has_a_name() -> None:
    with pytest.raises(ConfigError, match="reranker"):
        load_settings(reranker="")


@pytest.mark.slow
def test_a_cross_encoder_in_a_folder_reranks(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(piece, -1.0) for piece in ["▁", *"料金は月に何円か犬猫鳥の", "。"]]
    config = BertConfig(  # type: ignore[call-arg]
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=1,
        pad_token_id=1,
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=build_tokenizer(pieces), pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(tmp_path)
    documents = [make_document(f"{n}.md", f"# {n}\n\n{n}の料金は月に何円。") for n in "犬猫鳥"]
    assistant = Assistant.from_documents(documents, Settings(reranker=str(tmp_path)))
    hits = assistant.search("猫の料金").hits
    pairs = [("猫の料金", embedding_text(hit.chunk)) for hit in hits]
    scores = CrossEncoder(str(tmp_path), num_labels=1).predict(pairs, show_progress_bar=False)
    assert [hit.score for hit in hits] == pytest.approx(scores.tolist())
    assert sorted(scores, reverse=True) == list(scores)
    assert assistant.ask("猫の料金").citations or assistant.ask("猫の料金").refused


@pytest.mark.slow
def test_a_reranker_that_does_not_open_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"reranker .* does not open .*leave --reranker out"):
        open_reranker(str(tmp_path))
