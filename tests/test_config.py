from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from rag.config import Settings, load_settings
from rag.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and none of the developer's own variables."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"KOTAE_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_toml(folder: Path, text: str) -> None:
    (folder / "kotae.toml").write_text(text, encoding="utf-8")


def test_defaults_need_no_file() -> None:
    settings = load_settings()
    assert (settings.corpus, settings.index) == (Path("corpus"), Path("index"))
    assert (settings.host, settings.port, settings.top_k) == ("127.0.0.1", 8000, 5)


def test_file_then_variable_then_command_line_the_later_wins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toml(folder, "top_k = 2\nport = 2222\nhost = '0.0.0.0'\n")
    monkeypatch.setenv("KOTAE_TOP_K", "3")
    monkeypatch.setenv("KOTAE_PORT", "3333")
    settings = load_settings(top_k=4, host=None)
    assert (settings.top_k, settings.port, settings.host) == (4, 3333, "0.0.0.0")


OTHER = {
    "max_answer_chars": "400",
    "answer_timeout_seconds": "40.5",
    "session_hours": "40.5",
    "queue_seconds": "40.5",
    "question_timeout_seconds": "40.5",
    "client_timeout_seconds": "40.5",
    "log_format": "json",
    "log_level": "debug",
    "watch": "True",
    "without_keys": "True",
}
"""Where what goes for the others is out of bounds, or of another kind."""


def shown(value: object) -> str:
    """A setting as it is written."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ", ".join(value) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("name", sorted(Settings.model_fields.keys() - {"models", "qdrant"}))
def test_every_setting_is_read_from_its_variable_and_the_file(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = getattr(Settings(), name)
    other = "40" if isinstance(default, int) else "0.9" if default is None else "other"
    other = OTHER.get(name, other)
    other = "https://other.example" if name.endswith("_url") else other
    monkeypatch.setenv(f"KOTAE_{name.upper()}", other)
    changed = getattr(load_settings(), name)
    assert shown(changed) == other
    assert changed != default
    monkeypatch.delenv(f"KOTAE_{name.upper()}")
    write_toml(folder, f'{name} = "{other}"\n')
    assert getattr(load_settings(), name) == changed


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("slack_bot_token", "slack_app_token", "slack_signing_secret")
    for name in names:
        monkeypatch.setenv(f"KOTAE_{name.upper()}", "a-secret")
    settings = load_settings()
    assert "a-secret" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_every_setting_is_described_in_japanese() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert not field.description.isascii(), name


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("colour = 'blue'\n", r"colour: Extra inputs are not permitted"),
        ("[search]\ntop_k = 3\n", r"search: Extra inputs"),
        ("top_k = 0\n", r"top_k = 0: .*greater than or equal to 1"),
        ("top_k = 51\n", r"top_k = 51: .*less than or equal to 50"),
        ("top_k = 'many'\n", r"top_k = 'many': .*valid integer"),
        ("port = 0\nanswer_threshold = 2\n", r"answer_threshold = 2: .*; port = 0: "),
        ("top_k = \n", r"kotae\.toml: .*line 1"),
        ("top_k 3\n", r"kotae\.toml: "),
    ],
)
def test_a_wrong_file_is_told_in_one_line(content: str, told: str, folder: Path) -> None:
    write_toml(folder, content)
    with pytest.raises(ConfigError, match=told) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf_8_is_told(folder: Path) -> None:
    (folder / "kotae.toml").write_bytes('corpus = "ノート"\n'.encode("cp932"))
    with pytest.raises(ConfigError, match=r"kotae\.toml: "):
        load_settings()


def test_a_file_that_cannot_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml(folder, "top_k = 3\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "kotae.toml")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError, match=r"kotae\.toml: .*Permission denied"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("TOP_K", "abc", "top_k = 'abc'"),
        ("TOP_K", "", "top_k = ''"),
        ("PORT", "99999", "port = '99999'"),
        ("ANSWER_THRESHOLD", "nan", "answer_threshold = 'nan'"),
    ],
)
def test_a_wrong_variable_is_told_with_its_value(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"KOTAE_{name}", value)
    with pytest.raises(ConfigError, match=rf"KOTAE_\*\): {told}"):
        load_settings()


def test_a_wrong_option_is_told_with_its_value() -> None:
    with pytest.raises(ConfigError, match=r"top_k = 0: .*; port = 99999: "):
        load_settings(top_k=0, port=99999)


@pytest.mark.parametrize("name", ["corpus", "index"])
def test_a_tilde_is_the_home_folder(name: str, folder: Path) -> None:
    write_toml(folder, f'{name} = "~/notes"\n')
    assert getattr(load_settings(), name) == Path.home() / "notes"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().top_k = 3


SERVER = """[models.local]
base_url = "http://localhost:11434/v1"
model = "qwen3:8b"
options = {temperature = 0}
"""


def test_an_answer_model_is_read_from_the_file_and_its_key_from_a_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toml(folder, SERVER)
    monkeypatch.setenv("KOTAE_MODELS__LOCAL__API_KEY", "himitsu")
    monkeypatch.setenv("KOTAE_MODELS__OTHER__BASE_URL", "https://example.com/v1")
    monkeypatch.setenv("KOTAE_MODELS__OTHER__MODEL", "gpt")
    models = load_settings().models
    assert sorted(models) == ["local", "other"]
    assert (models["local"].model, models["local"].options) == ("qwen3:8b", {"temperature": 0})
    key = models["local"].api_key
    assert key is not None
    assert key.get_secret_value() == "himitsu"
    assert "himitsu" not in repr(load_settings())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("[models.local]\napi_key = 'himitsu'\n", r"models\.local\.base_url: Field required"),
        (SERVER + "key = 'himitsu'\n", r"models\.local\.key: Extra inputs"),
        ("[models]\nlocal = 'himitsu'\n", r"models\.local: "),
        (SERVER.replace("http:", "ftp:"), r"models\.local\.base_url: .*pattern"),
    ],
)
def test_what_is_wrong_with_an_answer_model_is_told_without_its_key(
    wrong: str, told: str, folder: Path
) -> None:
    write_toml(folder, wrong)
    with pytest.raises(ConfigError, match=told) as caught:
        load_settings()
    assert "himitsu" not in str(caught.value)


@pytest.mark.parametrize(
    ("index", "url", "snapshots"),
    [
        ("qdrant://h:6333/notes", "http://h:6333/notes", "index"),
        ("qdrant+https://h/notes?folder=/shared/k", "https://h/notes", "/shared/k"),
        (Path("qdrant://h:6333/notes?folder=/s"), "http://h:6333/notes", "/s"),
        ("elsewhere", None, "elsewhere"),
    ],
)
def test_an_index_in_qdrant_is_an_address_and_a_folder(
    index: str | Path, url: str | None, snapshots: str
) -> None:
    settings = load_settings(index=index)
    assert (settings.qdrant_url, settings.index) == (url, Path(snapshots))


def test_how_qdrant_is_asked_stands_in_a_table_of_its_own(folder: Path) -> None:
    write_toml(folder, "[qdrant]\nshards = 6\nreplicas = 2\napi_key = 'a-secret'\n")
    settings = load_settings()
    assert (settings.qdrant.shards, settings.qdrant.replicas) == (6, 2)
    assert "a-secret" not in repr(settings)
