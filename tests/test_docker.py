"""The image: its file linted, its steps run as far as they go without an engine; compose.yaml."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from api.access.gate import check_exposure
from rag.commands import COMMANDS
from rag.config import Settings
from rag.errors import ConfigError
from tests.fake_slack import wait_until
from tests.installing import ROOT, copy_sources, lend_packages

VARIABLES = {f"KOTAE_{name.upper()}" for name in Settings.model_fields} | {"KOTAE_CACHE"}
COMPOSE_ONLY = {"KOTAE_NOTES"}
"""What compose.yaml reads for itself."""


def read_instructions() -> list[tuple[str, str]]:
    """Every instruction of the Dockerfile with its arguments, in order."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


INSTRUCTIONS = read_instructions()


def arguments_of(word: str, stage: int | None = None) -> list[str]:
    """The arguments of all such instructions, of one stage or of all."""
    found, current = [], -1
    for name, rest in INSTRUCTIONS:
        current += name == "FROM"
        if name == word and stage in (None, current):
            found.append(rest)
    return found


def variables_of(stage: int) -> dict[str, str]:
    """What the ENV instructions of a stage set."""
    pairs = [pair for rest in arguments_of("ENV", stage) for pair in shlex.split(rest)]
    return dict(pair.split("=", 1) for pair in pairs)


def is_sent(path: str) -> bool:
    """Whether .dockerignore leaves a path to the build; the last pattern that fits decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = Path(path).parts
        below = [str(Path(*parts[:depth])) for depth in range(1, len(parts) + 1)]
        if line and not line.startswith("#") and any(fnmatch(name, pattern) for name in below):
            sent = line.startswith("!")
    return sent


def test_the_linter_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_everything_that_is_copied_is_there_and_sent_to_the_build() -> None:
    copied = [rest.split()[:-1] for rest in arguments_of("COPY") if not rest.startswith("--from")]
    sources = [source for some in copied for source in some]
    assert {"rag", "api", "eval", "corpus", "pyproject.toml"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert is_sent(source), source
    assert is_sent("rag/commands/serve.py")
    for left in (
        ".git/config",
        "tests/test_docker.py",
        "index/CURRENT",
        ".env",
        ".venv/bin/python",
    ):
        assert not is_sent(left), left


def test_it_does_not_run_as_root_and_sets_only_what_there_is() -> None:
    assert arguments_of("USER", 1) == ["10001:10001"]
    for stage in (0, 1):
        named = {name for name in variables_of(stage) if name.startswith("KOTAE_")}
        assert named <= VARIABLES
    Settings(host=variables_of(1)["KOTAE_HOST"], port=int(variables_of(1)["KOTAE_PORT"]))


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    content = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert set(content) == {"services", "volumes"}
    services = content["services"]
    assert isinstance(services, dict)
    return services


def test_compose_runs_the_page_and_on_demand_the_bot(services: dict[str, Any]) -> None:
    names = {command.name for command in COMMANDS}
    assert {name: service["command"][0] for name, service in services.items()} == {
        "kotae": "serve",
        "slack": "slack",
    }
    assert "profiles" not in services["kotae"]
    assert services["slack"]["profiles"] == ["slack"]
    for service in services.values():
        assert set(service["command"]) <= names
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert {volume.rsplit(":")[-1] for volume in service["volumes"]} == {"ro", "/index"}


def test_compose_opens_no_port_to_other_machines(services: dict[str, Any]) -> None:
    assert [port[:10] for port in services["kotae"]["ports"]] == ["127.0.0.1:"]
    assert services["slack"]["ports"] == []


def test_without_keys_it_listens_only_where_compose_says_so(services: dict[str, Any]) -> None:
    """The image alone asks for keys, for it listens on every address."""
    assert "KOTAE_WITHOUT_KEYS" not in variables_of(1)
    asked = services["kotae"]["environment"]["KOTAE_WITHOUT_KEYS"]
    assert asked == "${KOTAE_WITHOUT_KEYS:-true}"
    with pytest.raises(ConfigError, match="kotae keys"):
        check_exposure(Settings(host=variables_of(1)["KOTAE_HOST"], index=Path("nowhere")))


def test_compose_names_only_what_there_is(services: dict[str, Any]) -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert {*re.findall(r"\$\{(\w+)", text)} <= VARIABLES | COMPOSE_ONLY
    for service in services.values():
        assert set(service["environment"]) <= VARIABLES


class Built:
    """What the steps of the Dockerfile make, below a folder that stands for the image's root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources = copy_sources(root / "src", [n for n in os.listdir(ROOT) if is_sent(n)])
        (root / "opt").mkdir()
        self.sources.joinpath("corpus").rename(root / "notes")

    def below(self, text: str) -> str:
        """The same with the image's folders below `root`."""
        return re.sub(r"(?<![\w./])/(?=(?:opt|src|notes|index|model)\b)", f"{self.root}/", text)

    def variables(self, stage: int) -> dict[str, str]:
        own = {name: self.below(value) for name, value in variables_of(stage).items()}
        path = f"{self.root}/opt/kotae/bin{os.pathsep}{Path(sys.executable).parent}"
        own["PATH"] = f"{path}{os.pathsep}{os.environ['PATH']}"
        own["PIP_EXTRA_INDEX_URL"] = ""
        environment = os.environ | own
        environment.pop("PYTHONPATH", None)  # what was installed is run, not the sources
        return environment

    def run(self, step: str) -> None:
        subprocess.run(
            ["sh", "-c", self.below(step)], cwd=self.sources, env=self.variables(0), check=True
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    built = Built(tmp_path_factory.mktemp("image"))
    for note in (built.root / "notes" / "aws").iterdir():  # a few notes show as much
        if note.name not in ("codedeploy.md", "lambda.md", "sqs-ses-sns.md"):
            note.unlink()
    environment, packages, program, index = arguments_of("RUN", 0)
    built.run(environment)
    built.run(packages.split("&&")[0])
    lend_packages(built.root / "opt" / "kotae")  # instead of the other half of that step
    built.run(program)
    built.run(index)
    return built


@pytest.mark.slow
def test_the_packages_that_are_installed_first_are_all_that_it_needs(built: Built) -> None:
    wanted = (built.sources / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = {re.split(r"[><=]", line)[0] for line in wanted}
    assert {"fastapi", "torch", "slack-bolt", "mcp"} <= names
    assert "pytest" not in names


@pytest.fixture
def served(built: Built) -> Iterator[dict[str, str]]:
    """The container's process, with its own variables on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
    # As compose.yaml has it, whose port is open to one machine alone; else it asks for keys.
    variables = built.variables(1) | {"KOTAE_PORT": port, "KOTAE_WITHOUT_KEYS": "true"}
    (entry,), (command,) = (json.loads(arguments_of(w, 1)[0]) for w in ("ENTRYPOINT", "CMD"))
    program = subprocess.Popen(
        [built.root / "opt" / "kotae" / "bin" / entry, command], env=variables, cwd=built.root
    )
    try:
        yield variables
    finally:
        program.terminate()
        assert program.wait(timeout=20) in (0, -signal.SIGTERM)


@pytest.mark.slow
def test_the_health_check_passes_when_the_service_can_answer(
    built: Built, served: dict[str, str]
) -> None:
    (check,) = (rest.partition("CMD ")[2] for rest in arguments_of("HEALTHCHECK"))
    python, *arguments = json.loads(check)
    healthy = [built.root / "opt" / "kotae" / "bin" / python, *arguments]

    def status() -> int:
        return subprocess.run(healthy, env=served, capture_output=True).returncode

    assert status() == 1
    wait_until(lambda: status() == 0, seconds=60)
    url = f"http://127.0.0.1:{served['KOTAE_PORT']}"
    question = {"question": "Lambdaの最大実行時間は？"}
    answer = httpx2.post(f"{url}/api/ask", json=question, timeout=30).json()
    assert not answer["refused"]
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accepted = {"accept": "application/json, text/event-stream"}
    assert httpx2.post(f"{url}/mcp", json=ping, headers=accepted, timeout=30).status_code == 200
