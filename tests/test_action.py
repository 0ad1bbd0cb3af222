"""action.yml: its form, and its steps run by bash as a runner does, on a repository of notes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.installing import PACKAGED, ROOT, copy_sources, lend_packages

WORKFLOW = ROOT / "docs" / "examples" / "notes-ci.yml"
RUN_BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
"""How a runner starts `shell: bash`."""

NOTE = """# SQS

## 可視性タイムアウト

受信したメッセージは、既定で30秒のあいだ他のコンシューマーから見えない。

## デッドレターキュー

最大受信回数を超えたメッセージは、デッドレターキューへ移る。
"""
GOLD = [
    {
        "query_id": "q1",
        "question": "可視性タイムアウトは何秒？",
        "answerable": True,
        "relevant": [{"doc_id": "sqs.md", "quote": "既定で30秒"}],
    },
    {
        "query_id": "q2",
        "question": "最大受信回数を超えるとどうなる？",
        "answerable": True,
        "relevant": [{"doc_id": "sqs.md", "quote": "デッドレターキューへ移る"}],
    },
]


def read_yaml(path: Path) -> dict[Any, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


@pytest.fixture(scope="module")
def action() -> dict[Any, Any]:
    return read_yaml(ROOT / "action.yml")


def run_steps(action: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in action["runs"]["steps"] if "run" in step}


def test_the_action_has_the_form_that_github_asks_for(action: dict[Any, Any]) -> None:
    assert set(action) <= {"name", "description", "author", "branding", "inputs", "outputs", "runs"}
    assert action["runs"]["using"] == "composite"
    assert all(set(given) <= {"description", "default"} for given in action["inputs"].values())
    for step in action["runs"]["steps"]:
        assert ("run" in step) != ("uses" in step)
        known = {"name", "id", "if", "env", "shell", "run", "uses", "with", "working-directory"}
        assert set(step) <= known
        assert ("shell" in step) == ("run" in step), "a composite step has no default shell"


def test_every_expression_names_something_that_is_there(action: dict[Any, Any]) -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    steps = {step.get("id"): step.get("run", "") for step in action["runs"]["steps"]}
    assert {*re.findall(r"inputs\.([\w-]+)", text)} == set(action["inputs"])
    for step, output in re.findall(r"steps\.(\w+)\.outputs\.(\w+)", text):
        assert f'echo "{output}=' in steps[step]


def test_what_a_caller_gives_is_never_part_of_a_script(action: dict[Any, Any]) -> None:
    for step in run_steps(action).values():
        assert "${{" not in step["run"]


def test_the_workflow_of_the_guide_gives_inputs_that_the_action_has(
    action: dict[Any, Any],
) -> None:
    (_, step) = read_yaml(WORKFLOW)["jobs"]["eval"]["steps"]
    assert step["uses"].startswith("OWNER/kotae@")
    assert set(step["with"]) <= set(action["inputs"])
    assert read_yaml(WORKFLOW)["permissions"] == {"contents": "read"}


class Runner:
    """A runner's workspace with a repository of notes, where steps are run one by one."""

    def __init__(self, folder: Path, action: Mapping[Any, Any], source: Path) -> None:
        self.workspace = folder / "work"
        self.temporary = folder / "temp"
        self.output, self.summary = folder / "output", folder / "summary.md"
        for path in (self.workspace / "notes", self.workspace / "gold", self.temporary):
            path.mkdir(parents=True)
        (self.workspace / "notes" / "sqs.md").write_text(NOTE, encoding="utf-8")
        self.write_gold(GOLD)
        self.steps = run_steps(action)
        self.contexts = {"github.action_path": str(source), "inputs.torch-index": ""} | {
            f"inputs.{name}": str(given.get("default", ""))
            for name, given in action["inputs"].items()
            if name != "torch-index"
        }

    def write_gold(self, questions: list[dict[str, Any]]) -> None:
        lines = [json.dumps(question, ensure_ascii=False) for question in questions]
        (self.workspace / "gold" / "notes.jsonl").write_text("\n".join(lines), encoding="utf-8")

    def run(self, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        step = self.steps[name]
        self.output.write_text("")
        self.summary.write_text("")
        own = {
            "RUNNER_TEMP": str(self.temporary),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }
        given = {key: self._evaluate(value) for key, value in step["env"].items()}
        environment = os.environ | own | given | variables
        environment.pop("PYTHONPATH", None)  # what was installed is run, not the sources
        return subprocess.run(
            [*RUN_BASH, "-c", step["run"]],
            cwd=self.workspace,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def _evaluate(self, text: str) -> str:
        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: self.contexts[found[1]], text)


INSTALL = "Install Kotae"
EVAL = "Score the gold questions"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a runner downloads of this repository."""
    folder = tmp_path_factory.mktemp("action") / "source"
    return copy_sources(folder, (*PACKAGED, "constraints.txt"))


@pytest.fixture(scope="module")
def runner(
    action: dict[Any, Any], source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Runner:
    """A runner on which Kotae is installed by the action's own step."""
    runner = Runner(tmp_path_factory.mktemp("runner"), action, source)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = runner.run(INSTALL, PATH=path, PIP_NO_DEPS="1")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"versions=[0-9a-f]{16}\n", runner.output.read_text())
    lend_packages(runner.temporary / "kotae")
    return runner


@pytest.mark.slow
def test_the_steps_measure_gate_and_report(runner: Runner) -> None:
    done = runner.run(EVAL)
    assert done.returncode == 0, done.stderr
    assert "::notice title=kotae eval::baseline holds no baseline" in done.stdout
    assert runner.output.read_text() == "passed=true\n"
    assert "notes.jsonl: 2 questions, 2 answerable, over 1 documents" in runner.summary.read_text()
    assert (runner.workspace / "kotae-report" / "index.html").exists()

    kotae = runner.temporary / "kotae" / "bin" / "kotae"
    folders = ["--corpus", "notes", "--index", str(runner.temporary / "kotae-index")]
    subprocess.run(
        [kotae, "eval", "--gold", "gold/notes.jsonl", *folders, "--write-baseline", "baseline"],
        cwd=runner.workspace,
        check=True,
        capture_output=True,
    )
    done = runner.run(EVAL)
    assert (done.returncode, runner.output.read_text()) == (0, "passed=true\n")
    assert "**Gate: passed**" in runner.summary.read_text()

    floors = runner.workspace / "baseline" / "floors.toml"
    floors.write_text('[dense]\n"hit@1" = 1.0\n[whole]\n"auroc" = 1.0\n"hit@5" = 1.0\n')
    worse = GOLD[0] | {"query_id": "q3", "question": "カレーの作り方は？"}
    runner.write_gold([*GOLD, worse])
    (runner.workspace / "notes" / "curry.md").write_text(
        "\n\n".join(f"## カレー{n}\n\nカレーの作り方その{n}。" for n in range(20)), encoding="utf-8"
    )
    done = runner.run(EVAL)
    assert (done.returncode, runner.output.read_text()) == (1, "passed=false\n")
    assert "::error title=kotae eval::the gate failed" in done.stdout
    assert "**Gate: FAILED**" in runner.summary.read_text()


@pytest.mark.slow
def test_a_mistake_in_the_repository_is_told_on_the_page_of_the_run(runner: Runner) -> None:
    shutil.rmtree(runner.workspace / "kotae-report", ignore_errors=True)
    absent = GOLD[0] | {"relevant": [{"doc_id": "sqs.md", "quote": "もう無い言葉"}]}
    runner.write_gold([absent])
    done = runner.run(EVAL)
    assert (done.returncode, runner.output.read_text()) == (2, "passed=false\n")
    for shown in (done.stdout, runner.summary.read_text()):
        assert "gold/notes.jsonl:1: quote 'もう無い言葉' is not in sqs.md" in shown

    (runner.workspace / "gold" / "notes.jsonl").unlink()
    done = runner.run(EVAL)
    assert (done.returncode, runner.output.read_text()) == (2, "passed=false\n")
    assert "::error title=kotae eval::no gold questions match gold/*.jsonl" in done.stdout
