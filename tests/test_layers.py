"""Keeps the code as the design draws it: one way through, small files, one name for one thing."""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("rag", "api", "eval")
MAX_LINES = 300
ORDER = (
    "types",
    "protocols",
    "errors",
    "config",
    "text",
    "encodings",
    "loading",
    "parsing",
    "pieces",
    "chunking",
    "token_projection",
    "bundled_*",
    "sentence_transformer",
    "embedding",
    "dense",
    "lexical",
    "token_segments",
    "late_interaction",
    "snapshot_files",
    "snapshot_folders",
    "snapshot",
    "qdrant_collection",
    "embedding_run",
    "renewal",
    "indexing",
    "fusion",
    "best_units",
    "reranking",
    "aliases",
    "names",
    "followup",
    "answerability",
    "retrieval",
    "comparison",
    "definition",
    "citations",
    "units",
    "extraction",
    "prompting",
    "openai_generator",
    "generation",
    "guarding",
    "drafts",
    "quotes",
    "facts",
    "polarity",
    "support",
    "verification",
    "composing",
    "assistant",
    "presenting",
    "progress",
    "doctor",
    "surroundings",
    "commands",
    "cli",
)
"""The modules of rag, each knowing only those before it; `*` stands for any name."""

ALONE = {
    "faiss": "rag/dense.py",
    "langchain_text_splitters": "rag/pieces.py",
    "qdrant_client": "rag/qdrant_collection.py",
    "openai": "rag/openai_generator.py",
}
"""Libraries that one module keeps to itself."""

FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path, lazy: bool = True) -> tuple[str, ...]:
    """Full names of modules imported; without `lazy`, only those imported with the module."""
    tree = tree_of(path)
    found = []
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return tuple(found)


def place_of(module: str) -> int:
    """Where in ORDER a module of rag stands, `rag.parsing.lines` as `parsing`."""
    name = module.split(".")[1]
    group = "bundled_*" if name.startswith("bundled_") else name
    assert group in ORDER, f"{module} is in no layer: give it a place in ORDER"
    return ORDER.index(group)


def rag_modules() -> list[Path]:
    return [path for path in FILES if name_of(path).startswith("rag/") and path.stem != "__init__"]


@pytest.mark.parametrize("path", rag_modules(), ids=name_of)
def test_a_stage_imports_only_earlier_ones(path: Path) -> None:
    own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for imported in imports_of(path):
        if imported.startswith("rag."):
            assert place_of(imported) <= place_of(own), f"{own} imports {imported}"


def test_the_library_knows_neither_the_service_nor_the_evaluation() -> None:
    for path in rag_modules():
        lazy = path.parent.name != "commands"  # a command starts them, when asked to
        outside = {name.split(".")[0] for name in imports_of(path, lazy)} & {"api", "eval"}
        assert not outside, f"{name_of(path)} imports {outside}"


def test_the_evaluation_and_the_service_do_not_know_each_other() -> None:
    for path in FILES:
        package = name_of(path).split("/")[0]
        other = {"api": "eval", "eval": "api"}.get(package)
        assert other not in {name.split(".")[0] for name in imports_of(path)}, name_of(path)


@pytest.mark.parametrize(("library", "module"), ALONE.items())
def test_a_library_stays_where_it_is_at_home(library: str, module: str) -> None:
    users = [name_of(p) for p in FILES if library in {n.split(".")[0] for n in imports_of(p)}]
    assert users == [module]


def test_no_class_is_defined_twice() -> None:
    places = defaultdict(list)
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name_of(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_file_is_longer_than_a_reader_holds_in_mind() -> None:
    lengths = {name_of(p): len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_every_module_says_what_it_is() -> None:
    silent = [name_of(p) for p in FILES if not ast.get_docstring(tree_of(p))]
    assert silent == []


def test_every_file_of_the_packages_is_installed() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        setuptools = tomllib.load(file)["tool"]["setuptools"]
    patterns = ["*.py", *setuptools["package-data"]["*"]]
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*")]
    left_out = [
        name_of(path)
        for path in files
        if path.is_file()
        and path.suffix != ".pyc"
        # of this repository's own gate, and of what trains the model that ships
        and not {"baseline", "training"} & set(path.relative_to(ROOT).parts)
        and not (
            ".".join(path.parent.relative_to(ROOT).parts) in setuptools["packages"]
            and any(fnmatch(path.name, pattern) for pattern in patterns)
        )
    ]
    assert left_out == []
    assert all((ROOT / package.replace(".", "/")).is_dir() for package in setuptools["packages"])
