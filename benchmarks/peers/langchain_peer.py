"""A LangChain script: recursive splitter, FAISS, and the BM25 ensemble of its documentation.

`--dense` leaves BM25 out. `--japanese` is what somebody who knows Japanese retrieval would change
by hand: smaller chunks that end at 。, and BM25 over Sudachi's words.
"""

from __future__ import annotations

import sys
from pathlib import Path
from threading import local

from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.document_loaders import DirectoryLoader, TextLoader
from langchain_community.retrievers import BM25Retriever
from langchain_community.vectorstores import FAISS
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_huggingface import HuggingFaceEmbeddings
from langchain_text_splitters import RecursiveCharacterTextSplitter
from protocol import Passage, serve
from sudachipy import Dictionary, SplitMode, Tokenizer

SEPARATORS = ["\n\n", "\n", "。", "、", " ", ""]
DROPPED = {"助詞", "助動詞", "補助記号", "空白"}
THREAD = local()
MAX_TOP_K = 20
"""How many each of the two retrievers finds."""


class LangChainPeer:
    """See Peer."""

    def __init__(self, dense: bool, japanese: bool) -> None:
        self.dense = dense
        self.japanese = japanese

    def index(self, corpus: Path, folder: Path, model: Path) -> int:
        """See Peer."""
        loader = DirectoryLoader(
            str(corpus),
            glob="**/*.md",
            loader_cls=TextLoader,
            loader_kwargs={"encoding": "utf-8"},
        )
        documents = loader.load()
        for document in documents:
            path = Path(document.metadata["source"])
            document.metadata["doc_id"] = path.relative_to(corpus).as_posix()
        chunks = self.splitter().split_documents(documents)
        FAISS.from_documents(chunks, open_embeddings(model)).save_local(str(folder))
        return len(chunks)

    def splitter(self) -> RecursiveCharacterTextSplitter:
        """The tutorial's sizes, or smaller ones that keep sentences whole."""
        if self.japanese:
            return RecursiveCharacterTextSplitter(
                chunk_size=400, chunk_overlap=80, separators=SEPARATORS, keep_separator="end"
            )
        return RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)

    def open(self, corpus: Path, folder: Path, model: Path) -> None:
        """See Peer."""
        store = FAISS.load_local(
            str(folder), open_embeddings(model), allow_dangerous_deserialization=True
        )
        vectors = store.as_retriever(search_kwargs={"k": MAX_TOP_K})
        self.retriever: BaseRetriever = vectors
        if not self.dense:
            self.retriever = EnsembleRetriever(
                retrievers=[self.keywords(stored_chunks(store)), vectors], weights=[0.5, 0.5]
            )

    def keywords(self, chunks: list[Document]) -> BM25Retriever:
        """BM25, which by default cuts text at white space alone."""
        if not self.japanese:
            return BM25Retriever.from_documents(chunks, k=MAX_TOP_K)
        return BM25Retriever.from_documents(chunks, k=MAX_TOP_K, preprocess_func=sudachi_words)

    def search(self, question: str, top_k: int) -> list[Passage]:
        """See Peer."""
        found = self.retriever.invoke(question)[:top_k]
        return [(chunk.metadata["doc_id"], chunk.page_content) for chunk in found]


def open_embeddings(model: Path) -> HuggingFaceEmbeddings:
    """The model with the words that it expects before passages and questions."""
    return HuggingFaceEmbeddings(
        model_name=str(model),
        encode_kwargs={"prompt_name": "passage", "normalize_embeddings": True},
        query_encode_kwargs={"prompt_name": "query", "normalize_embeddings": True},
    )


def stored_chunks(store: FAISS) -> list[Document]:
    """All chunks, in the order of their vectors."""
    ids = store.index_to_docstore_id
    return [store.docstore.search(ids[row]) for row in range(len(ids))]


def sudachi_words(text: str) -> list[str]:
    """The words of a text in their dictionary form, without particles and symbols."""
    return [
        morpheme.normalized_form().lower()
        for morpheme in own_tokenizer().tokenize(text)
        if morpheme.part_of_speech()[0] not in DROPPED
    ]


def own_tokenizer() -> Tokenizer:
    """One for each thread, since Sudachi's cannot be shared."""
    if not hasattr(THREAD, "tokenizer"):
        THREAD.tokenizer = Dictionary().create(mode=SplitMode.A)
    tokenizer: Tokenizer = THREAD.tokenizer
    return tokenizer


if __name__ == "__main__":
    serve(LangChainPeer("--dense" in sys.argv, "--japanese" in sys.argv))
