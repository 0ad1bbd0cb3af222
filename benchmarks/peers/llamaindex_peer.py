"""A LlamaIndex script: VectorStoreIndex as in its starter tutorial.

`--fusion` adds BM25 by reciprocal rank fusion, as its documentation shows. `--japanese` also gives
BM25 a token pattern that finds words in Japanese: pairs of neighbouring characters.
"""

from __future__ import annotations

import sys
from pathlib import Path

from llama_index.core import (
    Settings,
    SimpleDirectoryReader,
    StorageContext,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.retrievers.bm25 import BM25Retriever
from protocol import Passage, serve

CHARACTER_PAIRS = r"(?u)(?=(\w\w))"
MAX_TOP_K = 20


class LlamaIndexPeer:
    """See Peer."""

    def __init__(self, fusion: bool, japanese: bool) -> None:
        self.fusion = fusion or japanese
        self.japanese = japanese

    def index(self, corpus: Path, folder: Path, model: Path) -> int:
        """See Peer."""
        use_model(model)
        reader = SimpleDirectoryReader(
            str(corpus), recursive=True, required_exts=[".md"], exclude_hidden=False
        )
        documents = reader.load_data()
        for document in documents:
            path = Path(document.metadata["file_path"])
            document.metadata = {"doc_id": path.relative_to(corpus.resolve()).as_posix()}
        index = VectorStoreIndex.from_documents(documents)
        index.storage_context.persist(str(folder))
        return len(index.docstore.docs)

    def open(self, corpus: Path, folder: Path, model: Path) -> None:
        """See Peer."""
        use_model(model)
        index = load_index_from_storage(StorageContext.from_defaults(persist_dir=str(folder)))
        vectors = index.as_retriever(similarity_top_k=MAX_TOP_K)
        self.retriever: BaseRetriever = vectors
        if self.fusion:
            pattern = {"token_pattern": CHARACTER_PAIRS, "skip_stemming": True}
            keywords = BM25Retriever.from_defaults(
                docstore=index.docstore,
                similarity_top_k=MAX_TOP_K,
                **(pattern if self.japanese else {}),
            )
            self.retriever = QueryFusionRetriever(
                [vectors, keywords],
                similarity_top_k=MAX_TOP_K,
                num_queries=1,  # no language model writes further questions
                mode="reciprocal_rerank",
                use_async=False,
            )

    def search(self, question: str, top_k: int) -> list[Passage]:
        """See Peer."""
        found = self.retriever.retrieve(question)[:top_k]
        return [(node.metadata["doc_id"], node.get_content()) for node in found]


def use_model(model: Path) -> None:
    """The model with the words that it expects before passages and questions; no language model."""
    Settings.llm = MockLLM()
    Settings.embed_model = HuggingFaceEmbedding(
        model_name=str(model), query_instruction="query: ", text_instruction="passage: "
    )


if __name__ == "__main__":
    serve(LlamaIndexPeer("--fusion" in sys.argv, "--japanese" in sys.argv))
