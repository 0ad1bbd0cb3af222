"""Settings: defaults, then kotae.toml, KOTAE_* variables, the command line; passed along."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from rag.errors import ConfigError

# One slash is what pathlib leaves of `--index qdrant://…`.
QDRANT_INDEX = re.compile(
    r"qdrant(?P<tls>\+https)?:/{1,2}(?P<address>[^?]+)(?:\?folder=(?P<folder>.+))?$"
)
DEFAULT_EMBEDDER = "e5-small"
"""The bundled offline model; see rag/bundled_model.py."""

Names = Annotated[tuple[str, ...], NoDecode]
"""Several names; in a variable with commas between them."""


class ModelSettings(BaseModel):
    """An answer model behind an OpenAI-compatible server; `[models.NAME]` in kotae.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(pattern=r"^https?://", description="サーバーのアドレス(…/v1)")
    model: str = Field(min_length=1, description="サーバーでのモデル名")
    api_key: SecretStr | None = Field(default=None, description="API キー")
    max_retries: int = Field(default=2, ge=0, le=10, description="やり直す回数の上限")
    options: dict[str, Any] = Field(
        default_factory=dict, repr=False, description="リクエストに加える項目(temperature など)"
    )

    @field_validator("base_url")
    @classmethod
    def refuse_credentials(cls, url: str) -> str:
        """A password in an address would be shown wherever the address is."""
        if urlsplit(url).username is not None or urlsplit(url).password is not None:
            raise ValueError("an address holds no name and password; put the key into api_key")
        return url


class QdrantSettings(BaseModel):
    """How Qdrant is asked, where `index` names one; `[qdrant]` in kotae.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: SecretStr | None = Field(default=None, description="API キー")
    shards: int = Field(default=1, ge=1, le=1000, description="シャード数")
    replicas: int = Field(default=1, ge=1, le=20, description="複製の数")
    on_disk: bool = Field(default=False, description="ベクトルをメモリーではなくディスクに置く")
    exact: bool = Field(default=False, description="近似せずに全件を比べる")
    timeout_seconds: int = Field(default=10, ge=1, le=600, description="応答を待つ秒数")
    max_retries: int = Field(default=2, ge=0, le=10, description="やり直す回数の上限")


class Settings(BaseSettings):
    """Everything that can be set; unknown keys in kotae.toml are refused."""

    model_config = SettingsConfigDict(
        env_prefix="KOTAE_",
        env_nested_delimiter="__",
        toml_file="kotae.toml",
        extra="forbid",
        frozen=True,
    )

    corpus: Path = Field(default=Path("corpus"), description="ノートのフォルダー")
    index: Path = Field(default=Path("index"), description="索引を置くフォルダー")
    qdrant_url: str | None = Field(
        default=None,
        pattern=r"^https?://\S+$",
        description='索引を検索する Qdrant(index = "qdrant://…" から)',
    )
    qdrant: QdrantSettings = Field(
        default_factory=QdrantSettings, description="Qdrant への問い合わせかた"
    )
    gold_folder: Path = Field(
        default=Path("gold"), description="自分のノートについての評価用の質問を置くフォルダー"
    )
    embedder: str = Field(
        default=DEFAULT_EMBEDDER, description="埋め込みモデル(名前またはフォルダー)"
    )
    reranker: str | None = Field(
        default=None,
        min_length=1,
        description="候補を並べ直すモデル(名前またはフォルダー)",
    )
    chunk_tokens: int = Field(default=300, ge=32, le=8192, description="チャンクの最大トークン数")
    merge_tokens: int = Field(
        default=120, ge=0, le=8192, description="隣り合う短い節をまとめる上限(トークン)"
    )
    max_note_bytes: int = Field(
        default=20_000_000, ge=1, description="これより大きいノートは読まない(バイト)"
    )
    max_question_chars: int = Field(default=2000, ge=1, description="質問の最大文字数")
    top_k: int = Field(default=5, ge=1, le=50, description="返す件数")
    answer_threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="これより低い確率なら「見つかりません」と答える(既定は調整済みの値)",
    )
    model: str = Field(default="extractive", min_length=1, description="指定がないときの回答モデル")
    models: dict[str, ModelSettings] = Field(
        default_factory=dict, description="OpenAI 互換サーバーの回答モデル(名前ごと)"
    )
    prompt: Path | None = Field(
        default=None, description="回答モデルへの指示のテンプレート(既定は付属のもの)"
    )
    answer_timeout_seconds: float = Field(
        default=60, gt=0, le=3600, description="回答モデルの沈黙をこの秒数まで待つ"
    )
    max_answer_chars: int = Field(default=4000, ge=100, description="回答モデルの回答の最大文字数")
    host: str = Field(default="127.0.0.1", min_length=1, description="待ち受けるアドレス")
    port: int = Field(default=8000, ge=1, le=65535, description="待ち受けるポート")
    watch: bool = Field(
        default=False, description="動いているあいだ、変わったノートを索引に取り込む"
    )
    keys_file: Path | None = Field(
        default=None, description="APIキーのファイル(既定は索引のフォルダーのkeys.json)"
    )
    without_keys: bool = Field(
        default=False, description="APIキーなしで、ほかの機械からの接続も受ける"
    )
    allowed_hosts: Names = Field(default=(), description="このサービスの名前(Hostヘッダー)")
    trusted_proxies: Names = Field(
        default=("127.0.0.1", "::1"), description="X-Forwarded-Forを信じる中継のアドレス"
    )
    requests_per_minute: int = Field(
        default=120, ge=0, description="キーごと、アドレスごとの1分間のリクエスト数(0は無制限)"
    )
    session_hours: float = Field(
        default=168, gt=0, le=8760, description="画面のサインインが続く時間"
    )
    questions_at_work: int = Field(
        default=4, ge=1, le=64, description="同時に進める検索と、ノートからの回答の数"
    )
    model_answers_at_work: int = Field(
        default=8, ge=1, le=64, description="同時に進める、回答モデルの回答の数"
    )
    questions_waiting: int = Field(default=32, ge=0, le=1000, description="順番を待てる質問の数")
    queue_seconds: float = Field(default=10, gt=0, le=600, description="順番を待つ時間の上限(秒)")
    question_timeout_seconds: float = Field(
        default=360, gt=0, le=86400, description="質問ひとつにかける時間の上限(秒)"
    )
    client_timeout_seconds: float = Field(
        default=30, gt=0, le=600, description="リクエストが届くまで、返答が受け取られるまで待つ秒数"
    )
    shutdown_seconds: int = Field(
        default=30, ge=1, le=600, description="終了のとき、始めた回答を待つ秒数"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="ログの形")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="これより軽い出来事は記録しない"
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://\S+$",
        description="このサービスに外からつながるアドレス(Slackの引用リンクに使う)",
    )
    slack_bot_token: SecretStr | None = Field(
        default=None, description="Slackのボットトークン(xoxb-)"
    )
    slack_signing_secret: SecretStr | None = Field(
        default=None, description="Slackの署名シークレット(HTTPで受けるとき)"
    )
    slack_app_token: SecretStr | None = Field(
        default=None, description="Slackのアプリトークン(xapp-、ソケットモード)"
    )
    slack_api_url: str = Field(
        default="https://slack.com/api/",
        pattern=r"^https?://\S+$",
        description="SlackのWeb API(GovSlackなど)",
    )

    @field_validator("allowed_hosts", "trusted_proxies", mode="before")
    @classmethod
    def split_names(cls, value: object) -> object:
        """`a.example, b.example`, as a variable has it."""
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def split_index(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`qdrant://host:6333/name?folder=DIR` → the address, and the folder of the snapshots."""
        found = QDRANT_INDEX.match(str(values.get("index", "")))
        if not found:
            return values
        scheme = "https" if found["tls"] else "http"
        return values | {
            "index": found["folder"] or cls.model_fields["index"].default,
            "qdrant_url": f"{scheme}://{found['address']}",
        }

    @field_validator("corpus", "index", "gold_folder", "keys_file", "prompt")
    @classmethod
    def expand_home(cls, path: Path | None) -> Path | None:
        """`~` in kotae.toml, a variable or `--corpus=~/notes`, which no shell has replaced."""
        return path and path.expanduser()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over kotae.toml."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(**overrides: object) -> Settings:
    """Settings with `overrides` on top (None = not given); raises ConfigError, one line a fault."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}{_shown(fault)}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ConfigError(f"settings (kotae.toml, KOTAE_*): {faults}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"kotae.toml: {error}") from error


def _shown(fault: ErrorDetails) -> str:
    """The wrong value, unless it may be a secret: below `models`, or under a name nobody knows."""
    hidden = fault["loc"][:1] == ("models",) or fault["type"] == "extra_forbidden"
    return "" if hidden else f" = {fault['input']!r}"
