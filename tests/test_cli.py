from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.cli import main
from rag.config import Settings
from rag.indexing import fresh_snapshot
from tests.fakes import (
    NOTES,
    BigramEmbedder,
    install_fake_embedder,
    make_settings,
    silent,
    write_notes,
)
from tests.test_snapshot import folder_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BigramEmbedder:
    """A working folder with notes in corpus/, and none of the developer's own variables."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"KOTAE_{name.upper()}", raising=False)
    monkeypatch.setenv("KOTAE_ANSWER_THRESHOLD", "0")
    monkeypatch.chdir(tmp_path)
    write_notes(tmp_path / "corpus")
    return install_fake_embedder(monkeypatch)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    fresh_snapshot(make_settings(folder), BigramEmbedder(), silent)
    return folder / "index"


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    """An index of the notes, ready in index/."""
    return Path(shutil.copytree(built, tmp_path / "index"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command run in this process: its exit status, what it printed, what it said."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        status = caught.value.code
        assert isinstance(status, int)
        return status, out, err

    return run_command


def only_json(out: str) -> Any:  # noqa: ANN401  (whatever the command prints)
    """The one JSON object that the whole of stdout is."""
    value, end = json.JSONDecoder().raw_decode(out)
    assert isinstance(value, dict)
    assert out[end:] == "\n"
    return value


def assert_one_line(text: str) -> None:
    assert text.endswith("\n")
    assert text.count("\n") == 1, text


def test_index_tells_what_it_holds_and_where(run: Run) -> None:
    status, out, _ = run("index")
    assert status == 0
    assert out.startswith("3 notes, 4 chunks → index (")
    assert_one_line(out)


def test_index_names_the_notes_that_it_left_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "corpus" / "empty.md").write_bytes(b"")
    status, out, err = run("index", "--json")
    assert status == 0
    told = only_json(out)
    assert told["counts"] == {"documents": 3, "chunks": 4}
    assert told["skipped"] == [{"path": "empty.md", "reason": "the file is empty"}]
    assert "skipped empty.md: the file is empty\n" in err


def test_index_a_second_time_embeds_nothing_but_when_told_to(
    run: Run, embedder: BigramEmbedder
) -> None:
    run("index")
    first = list(embedder.passages)
    embedder.passages.clear()
    assert run("index")[0] == 0
    assert embedder.passages == []
    assert run("index", "--rebuild")[0] == 0
    assert embedder.passages == first


def test_search_shows_each_passage_under_its_place(run: Run, index: Path) -> None:
    status, out, _ = run("search", "カスタマー管理キー", "-k", "2")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "1. AWS KMS › ローテーション  (aws/kms.md:6)"
    assert any(line.startswith("2. ") for line in lines)
    assert not any(line.startswith("3. ") for line in lines)
    assert "カスタマー管理キーは、有効にすると" in out


def test_search_in_json_is_the_body_of_the_api(run: Run, index: Path) -> None:
    status, out, _ = run("search", "カスタマー管理キー", "-k", "3", "--json")
    assert status == 0
    told = only_json(out)
    assert told["question"] == "カスタマー管理キー"
    assert [hit["rank"] for hit in told["hits"]] == [1, 2, 3]
    assert told["hits"][0]["citation"]["doc_id"] == "aws/kms.md"
    assert set(told) == {
        "question",
        "search_question",
        "answerable",
        "hits",
        "took_ms",
        "snapshot_id",
    }


def test_search_keeps_to_the_tags(run: Run, index: Path) -> None:
    hits = only_json(run("search", "光", "--tag", "メッセージング", "--json")[1])["hits"]
    assert {hit["citation"]["doc_id"] for hit in hits} == {"aws/sqs.md"}
    status, out, _ = run("search", "光", "--tag", "無い札")
    assert (status, out) == (0, "ノートに見つかりません。\n")


def test_ask_prints_the_answer_and_its_sources(run: Run, index: Path) -> None:
    status, out, _ = run("ask", "葉緑体は何をつくるか")
    assert status == 0
    answer, _, *sources = out.splitlines()
    assert answer.endswith("デンプンと酸素をつくる。[1]")
    assert sources[0] == "[1] 生物 › 光合成  (生物.md:3)"


def test_ask_in_json_is_the_body_of_the_api(run: Run, index: Path) -> None:
    told = only_json(run("ask", "葉緑体は何をつくるか", "--json")[1])
    assert told["refused"] is False
    assert told["answer"].endswith("[1]")
    assert told["citations"][0]["quote"] in NOTES["生物.md"]


def test_a_note_cannot_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    (tmp_path / "corpus" / "fox.md").write_text("\x1b[31m狐\x07は\x9b1m赤い。\n", encoding="utf-8")
    for command in ("search", "ask"):
        out = run(command, "狐は赤い")[1]
        assert "狐\ufffdは\ufffd1m赤い。" in out
        assert not {"\x1b", "\x07", "\x9b"} & set(out)
    quote = only_json(run("search", "狐は赤い", "--json")[1])["hits"][0]["text"]
    assert quote == "\x1b[31m狐\x07は\x9b1m赤い。"


def test_a_refusal_is_no_failure(run: Run, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOTAE_ANSWER_THRESHOLD", "1")
    status, out, _ = run("ask", "葉緑体は何をつくるか")
    assert (status, out.splitlines()[0][:14]) == (0, "ノートに見つかりません。近い")
    assert "(生物.md:1)" in out
    status, out, _ = run("ask", "葉緑体", "--tag", "無い札")
    assert (status, out) == (0, "ノートに見つかりません。\n")


def test_folders_can_be_anywhere_and_never_mix(run: Run, index: Path, tmp_path: Path) -> None:
    other = write_notes(tmp_path / "other", {"猫.md": "## 猫\n\n猫は一日に16時間眠る。\n"})
    options = ("--corpus", str(other), "--index", str(tmp_path / "elsewhere"))
    hits = only_json(run("search", "猫", *options, "--json")[1])["hits"]
    assert {hit["citation"]["doc_id"] for hit in hits} == {"猫.md"}
    assert "猫.md" not in run("search", "猫")[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "required: COMMAND"),
        (("find", "x"), "invalid choice: 'find'"),
        (("search",), "required: QUESTION"),
        (("search", "x", "-k", "0"), "top_k = 0: "),
        (("search", "x", "-k", "51"), "top_k = 51: "),
        (("search", "x", "-k", "abc"), "invalid int value: 'abc'"),
        (("search", "x", "--colour", "blue"), "--colour blue"),
        (("search", ""), "the question is empty"),
        (("ask", " "), "the question is empty"),
        (("ask", "--json"), "--json needs a QUESTION"),
        (("search", "字" * 2001), "2001 characters"),
        (("ask", "x", "--model", "gpt"), "no answer model 'gpt'"),
        (("serve", "--port", "99999"), "port = 99999: "),
        (("serve", "--port", "http"), "invalid int value: 'http'"),
        (("serve", "--host", ""), "host = '': "),
        (("index", "--corpus", "nowhere"), "no such folder of notes: nowhere"),
        (("index", "--corpus", "corpus/生物.md"), "no such folder of notes"),
        (("search", "x", "--corpus", "nowhere"), "name yours with --corpus DIR"),
        (("index", "--index", "corpus/生物.md"), "name another one with --index DIR"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    run: Run, index: Path, arguments: tuple[str, ...], told: str
) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert told in err
    assert err.startswith("kotae")
    assert_one_line(err)


@pytest.mark.parametrize("option", ["--json", "--tag=SAP-C02"])
def test_with_json_a_mistake_leaves_stdout_empty(run: Run, index: Path, option: str) -> None:
    status, out, err = run("search", "", option)
    assert (status, out) == (2, "")
    assert "the question is empty" in err


def test_an_empty_folder_is_told_with_what_was_looked_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, _, err = run("index", "--corpus", "empty")
    assert status == 2
    assert ".md" in err
    assert_one_line(err)


def test_settings_come_from_file_and_variables(
    run: Run, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = tmp_path / "kotae.toml"
    toml.write_text("top_k = 1\n", encoding="utf-8")
    assert len(only_json(run("search", "光", "--json")[1])["hits"]) == 1
    monkeypatch.setenv("KOTAE_TOP_K", "2")
    assert len(only_json(run("search", "光", "--json")[1])["hits"]) == 2
    assert len(only_json(run("search", "光", "-k", "3", "--json")[1])["hits"]) == 3
    toml.write_text("colour = 'blue'\n", encoding="utf-8")
    status, _, err = run("search", "光")
    assert status == 2
    assert "colour: Extra inputs are not permitted" in err
    assert_one_line(err)


def damage(index: Path) -> None:
    (folder_of(index) / "words.npz").write_bytes(b"")


def change_schema(index: Path) -> None:
    path = folder_of(index) / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["recipe"]["schema_version"] = 0
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_a_lost_pointer_is_mended_and_told(
    run: Run, index: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (index / "CURRENT").write_text("nowhere\n", encoding="utf-8")
    assert run("search", "光")[0] == 0
    assert "The last good snapshot" in caplog.text
    caplog.clear()
    assert run("search", "光")[0] == 0
    assert caplog.text == ""


@pytest.mark.parametrize("spoil", [damage, change_schema])
def test_an_unusable_index_is_refused_with_the_command_that_mends_it(
    run: Run, index: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(index)
    for command in ("search", "ask"):
        status, out, err = run(command, "光")
        assert (status, out) == (2, "")
        assert "run `kotae index`" in err
        assert_one_line(err)
    status, out, err = run("index")
    assert (status, out[:7]) == (0, "3 notes")
    assert "Doing so now" in err
    assert run("search", "光")[0] == 0


def test_another_model_is_refused_until_indexed(
    run: Run, index: Path, monkeypatch: pytest.MonkeyPatch, embedder: BigramEmbedder
) -> None:
    embedder.fingerprint = "bigram-2"
    status, _, err = run("search", "光")
    assert status == 2
    assert "fingerprint = 'bigram-1', but 'bigram-2' is configured; run `kotae index`" in err
    assert run("index")[0] == 0
    assert run("search", "光")[0] == 0


def test_doctor_passes_a_sound_index(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("KOTAE_PORT", str(server.getsockname()[1]))
    notes = {f"{c}.md": f"## {c}の節\n\n{c}{c}について{c}と述べる。\n" for c in "猫犬鳥魚馬牛"}
    options = ("--corpus", str(write_notes(tmp_path / "many", notes)))
    status, out, _ = run("doctor", *options)
    assert status == 0
    assert all(line.startswith("✔ ") for line in out.splitlines())
    told = only_json(run("doctor", "--json", *options)[1])
    assert told["ok"] is True
    assert {check["ok"] for check in told["checks"]} == {True}


def test_doctor_fails_with_status_1_and_the_way_out(run: Run, index: Path) -> None:
    damage(index)
    status, out, _ = run("doctor")
    assert status == 1
    assert "✘ index: " in out
    assert "    → " in out
    status, out, _ = run("doctor", "--json")
    assert status == 1
    assert only_json(out)["ok"] is False


def test_a_port_in_use_is_told_before_anything_slow(run: Run, embedder: BigramEmbedder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        status, _, err = run("serve", "--port", port)
    assert status == 2
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in err
    assert "--port N" in err
    assert_one_line(err)
    assert embedder.passages == []


def test_an_address_that_is_not_ours_is_told(run: Run) -> None:
    status, _, err = run("serve", "--host", "192.0.2.1", "--without-keys")
    assert status == 2
    assert "cannot listen on 192.0.2.1:8000" in err


def test_serve_starts_the_page_on_the_address_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[dict[str, Any]] = []
    monkeypatch.setattr("uvicorn.run", lambda app, **options: served.append(options))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    status, _, err = run("serve", "--port", str(port))
    assert status == 0
    assert [(options["host"], options["port"]) for options in served] == [("127.0.0.1", port)]
    assert f"http://127.0.0.1:{port}" in err


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        ({}, "KOTAE_SLACK_BOT_TOKEN is not set; docs/slack.md"),
        ({"BOT": "xapp-1"}, "KOTAE_SLACK_BOT_TOKEN does not start with xoxb-"),
        ({"BOT": "xoxb-1"}, "KOTAE_SLACK_APP_TOKEN is not set"),
    ],
)
def test_a_missing_slack_token_is_told_before_anything_slow(
    run: Run, monkeypatch: pytest.MonkeyPatch, tokens: dict[str, str], told: str
) -> None:
    for name, token in tokens.items():
        monkeypatch.setenv(f"KOTAE_SLACK_{name}_TOKEN", token)
    status, out, err = run("slack")
    assert (status, out) == (2, "")
    assert err.startswith(f"kotae: {told}")
    assert err.count("\n") == 1


def test_an_interrupt_ends_without_a_word(
    run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rag.assistant.Assistant.search", interrupt)
    assert run("search", "光")[:2] == (130, "")


def test_an_unreadable_file_is_told_in_one_line(
    run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "some/file")

    monkeypatch.setattr("rag.assistant.load_aliases", fail)
    status, _, err = run("search", "光")
    assert status == 2
    assert "Permission denied: 'some/file'" in err
    assert_one_line(err)


PROGRAM = """
from rag import embedding
from tests.fakes import BigramEmbedder
embedding.EMBEDDERS["bigram"] = lambda name, progress: BigramEmbedder()
from rag.cli import main
main()
"""
"""The command in a process of its own, with the fake embedder."""


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a line in which $KOTAE is the command and $PYTHON is this Python."""
    (Path.cwd() / "main.py").write_text("from rag.cli import main\nmain()\n", encoding="utf-8")
    variables = {
        "KOTAE": f"{sys.executable} main.py",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "",  # argparse ignores what it cannot write
    }
    return subprocess.run(
        ["bash", "-c", line],
        env=os.environ | variables | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_search_piped_to_head_ends_in_silence(run: Run, index: Path, tmp_path: Path) -> None:
    (tmp_path / "kotae.py").write_text(PROGRAM, encoding="utf-8")
    done = shell("$PYTHON kotae.py search 光 --json | head -1; echo ${PIPESTATUS[0]}")
    assert done.stdout == "{\n0\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        ("$KOTAE --help | true; exit ${PIPESTATUS[0]}", 0, ""),
        ("$KOTAE --help > /dev/full", 2, "kotae: [Errno 28] No space left on device\n"),
    ],
    ids=["closed pipe", "full disk"],
)
def test_output_that_cannot_be_written_is_no_traceback(line: str, status: int, told: str) -> None:
    done = shell(line)
    assert (done.returncode, done.stderr) == (status, told)


def test_what_a_terminal_cannot_show_is_escaped() -> None:
    done = shell("$KOTAE --help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "Lambda\\u306e" in done.stdout  # Lambdaの


def test_a_question_that_is_not_utf_8_stays_json(run: Run, index: Path) -> None:
    question = "光\udcff"  # how Python hands on the byte 0xff
    assert only_json(run("search", question, "--json")[1])["question"] == question
