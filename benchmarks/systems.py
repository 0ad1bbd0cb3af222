"""What is measured side by side, and the environment that each part of it runs in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
KOTAE = "Kotae"


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment: what is installed into it, and the oldest Python that will do.

    `shown` are the packages whose versions the report names. A `large` one takes a quarter of an
    hour and gigabytes to install, which a quick run does not do.
    """

    name: str
    shown: tuple[str, ...]
    python: tuple[int, int] = (3, 11)
    large: bool = False

    @property
    def requirements(self) -> Path:
        """Exact versions, so that two runs measure the same."""
        return PEERS / f"requirements-{self.name}.txt"


@dataclass(frozen=True, slots=True)
class System:
    """One row of the report: a script with its options, in an environment.

    `timed` systems take part in every round; the others show only how well they find. `quick`
    ones are in a quick run too.
    """

    name: str
    environment: Environment
    script: str
    options: tuple[str, ...] = ()
    timed: bool = True
    quick: bool = False


OURS = Environment("kotae", ("kotae",))
LANGCHAIN = Environment("langchain", ("langchain-classic", "langchain-community"))
LLAMAINDEX = Environment("llamaindex", ("llama-index-core", "llama-index-retrievers-bm25"))
TXTAI = Environment("txtai", ("txtai",))
HAIKU = Environment("haiku", ("haiku.rag-slim", "docling"), python=(3, 12), large=True)

SYSTEMS = (
    System(KOTAE, OURS, "kotae_peer.py", quick=True),
    System("LangChain, BM25 ensemble", LANGCHAIN, "langchain_peer.py", quick=True),
    System("LangChain, dense", LANGCHAIN, "langchain_peer.py", ("--dense",), timed=False),
    System(
        "LangChain, Japanese by hand", LANGCHAIN, "langchain_peer.py", ("--japanese",), quick=True
    ),
    System("LlamaIndex, dense", LLAMAINDEX, "llamaindex_peer.py"),
    System("LlamaIndex, fusion", LLAMAINDEX, "llamaindex_peer.py", ("--fusion",), timed=False),
    System("LlamaIndex, Japanese by hand", LLAMAINDEX, "llamaindex_peer.py", ("--japanese",)),
    System("txtai, hybrid", TXTAI, "txtai_peer.py"),
    System("haiku.rag, hybrid", HAIKU, "haiku_peer.py"),
)
