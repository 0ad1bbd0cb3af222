"""Which answer models there are; plug-ins are really installed, as a user would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rag.assistant import Assistant
from rag.config import ModelSettings, Settings
from rag.errors import ConfigError, GeneratorError
from rag.generation import Generators
from rag.loading import make_document
from rag.openai_generator import OpenAIGenerator
from tests.fakes import NOTES, install_fake_embedder

LOCAL = ModelSettings(base_url="http://localhost:1/v1", model="m")
DOCS = Path(__file__).parent.parent / "docs" / "plugins.md"


def documented_plugin() -> dict[str, str]:
    """The example's files as docs/plugins.md shows them: name → content."""
    text = DOCS.read_text(encoding="utf-8")
    return dict(re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documented plug-in, and a broken one, installed by pip into a folder."""
    folder = tmp_path_factory.mktemp("plugins")
    files = documented_plugin()
    broken = {
        "pyproject.toml": files["pyproject.toml"]
        .replace("kotae-shouting", "kotae-broken")
        .replace("shouting", "broken"),
        "kotae_broken.py": "import a_package_that_is_not_there\n",
    }
    for name, source in {"good": files, "bad": broken}.items():
        (folder / name).mkdir()
        for file, content in source.items():
            (folder / name / file).write_text(content, encoding="utf-8")
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
                *("--no-build-isolation", "--disable-pip-version-check"),
                *("--target", str(folder / "site"), str(folder / name)),
            ],
            check=True,
        )
    return folder / "site"


@pytest.fixture
def plugins(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))


def assistant_with(settings: Settings) -> Assistant:
    documents = [make_document(doc_id, text) for doc_id, text in NOTES.items()]
    return Assistant.from_documents(documents, settings)


def test_without_settings_there_is_the_default_alone() -> None:
    assert Generators(Settings()).names == ("extractive",)
    assert Generators(Settings()).default == "extractive"


def test_the_default_comes_first() -> None:
    generators = Generators(Settings(model="b", models={"a": LOCAL, "b": LOCAL}))
    assert generators.names == ("b", "extractive", "a")
    assert generators.default == "b"


def test_a_server_is_opened_once() -> None:
    generators = Generators(Settings(models={"a": LOCAL}))
    opened = generators.open("a")
    assert isinstance(opened, OpenAIGenerator)
    assert generators.open("a") is opened


def test_an_unknown_default_is_told_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"model: no answer model 'gpt'; choose one of \['extr"):
        _ = Generators(Settings(model="gpt")).default


def test_so_it_is_before_the_first_question(monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake_embedder(monkeypatch)
    with pytest.raises(ConfigError, match="no answer model 'gpt'"):
        assistant_with(Settings(embedder="bigram", model="gpt"))


@pytest.mark.slow
@pytest.mark.usefixtures("plugins")
def test_the_documented_plugin_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake_embedder(monkeypatch)
    assistant = assistant_with(Settings(embedder="bigram", answer_threshold=0))
    assert assistant.models == ("extractive", "broken", "shouting")
    answer = assistant.ask("受信したメッセージは何秒見えないか", model="shouting")
    assert (answer.model, answer.fallback_reason) == ("shouting", None)
    assert "30秒" in answer.statements[0].text
    for citation in answer.citations:
        text = assistant.document(citation.doc_id).text
        assert text[citation.start_index : citation.end_index] == citation.quote


@pytest.mark.slow
@pytest.mark.usefixtures("plugins")
def test_a_broken_plugin_hurts_only_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake_embedder(monkeypatch)
    assistant = assistant_with(Settings(embedder="bigram", answer_threshold=0))
    assert assistant.ask("ローテーション").fallback_reason is None
    answer = assistant.ask("ローテーション", model="broken")
    assert (answer.failed_model, answer.fallback_reason) == ("broken", "failed")
    assert answer.statements
    with pytest.raises(GeneratorError, match=r"plug-in 'broken' .* does not load: ModuleNotFound"):
        Generators(Settings()).open("broken")


@pytest.mark.slow
@pytest.mark.usefixtures("plugins")
def test_a_server_hides_a_plugin_of_the_same_name() -> None:
    generators = Generators(Settings(models={"broken": LOCAL}))
    assert isinstance(generators.open("broken"), OpenAIGenerator)
