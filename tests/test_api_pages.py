"""What the service sends to a browser, before any script runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api import create_app
from api.messages import PAGE_TEXTS
from api.pages import headings_of
from api.rendering import render_statement
from api.static_files import ADDRESS, FILES, FOLDER, VERSION, version_of
from rag.citations import span_url
from rag.config import Settings
from rag.loading import make_document
from rag.types import Section
from tests.fake_assistant import FakeAssistant

MAX_PAGE_BYTES = 150_000


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(index=tmp_path), FakeAssistant())) as client:
        yield client


def test_chat_page_and_all_it_loads_weigh_little(client: TestClient) -> None:
    page = client.get("/").text
    paths = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page))
    paths |= {f"{ADDRESS}/{name}" for name in FILES if name.endswith(".js")}  # by main.js
    assert len(paths) > 20
    sizes = {path: len(client.get(path).content) for path in paths}
    assert len(page.encode()) + sum(sizes.values()) < MAX_PAGE_BYTES


@pytest.mark.parametrize("path", ["/", "/notes/aws/sqs.md", "/notes/nothing.md", "/sign-in"])
def test_browsers_keep_what_a_page_loads_until_it_changes(client: TestClient, path: str) -> None:
    paths = re.findall(r'(?:href|src)="(/static/[^"]+)"', client.get(path).text)
    assert len(paths) > 2
    for loaded in paths:
        response = client.get(loaded)
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
        for other in (loaded.replace(VERSION, "0" * 12), loaded.replace(f"{VERSION}/", "")):
            again = client.get(other)
            assert again.headers["cache-control"] == "no-cache"
            assert again.content == response.content
    assert version_of(FILES | {"js/main.js": b""}) != version_of(FILES) == VERSION


def test_style_sheets_come_in_one_answer_in_the_order_named(client: TestClient) -> None:
    joined = client.get("/static/css/note+base.css")
    assert joined.content == FILES["css/note.css"] + b"\n" + FILES["css/base.css"]
    assert joined.headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    "path",
    [
        *("", "css", "css/none.css", "css/base+none.css", "css/base.css+note.css", "css/BASE.css"),
        *("../app.py", "%2e%2e/app.py", "css/..%2f..%2fapp.py", "//etc/passwd", "js/main.js/"),
    ],
)
def test_nothing_but_the_files_of_the_pages_is_served(client: TestClient, path: str) -> None:
    for folder in ("/static/", f"{ADDRESS}/"):
        response = client.get(folder + path)
        assert response.status_code == 404
        assert "immutable" not in response.headers["cache-control"]


@pytest.mark.parametrize("path", ["/", "/notes/aws/sqs.md", "/notes/nothing.md"])
def test_pages_hold_no_inline_script_or_style_and_no_other_host(
    client: TestClient, path: str
) -> None:
    page = client.get(path).text
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert all("application/json" in head or not body for head, body in scripts)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_texts_of_the_page_are_all_used_and_all_there() -> None:
    scripts = "".join(path.read_text() for path in (FOLDER / "js").glob("*.js"))
    named = set(re.findall(r'text\(\s*(?:[^"()]*\? )?"(\w+)"', scripts))
    named |= set(re.findall(r': "(\w+)"\)', scripts)) & set(PAGE_TEXTS)
    assert named <= set(PAGE_TEXTS)
    unused = {
        key
        for key in PAGE_TEXTS
        if f'"{key}"' not in scripts and not key.startswith(("signal_", "error_"))
    }
    assert unused == set()


def test_scripts_and_styles_hold_no_japanese_sentence() -> None:
    for path in FOLDER.rglob("*.js"):
        code = re.sub(r"^\s*//.*$|/\*.*?\*/", "", path.read_text(), flags=re.M | re.S)
        assert not re.search(r"[ぁ-んァ-ヶ一-龠]", code), path.name


def test_missing_note_gets_a_page(client: TestClient) -> None:
    response = client.get("/notes/nothing.md")
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "見つかりません" in response.text


def test_note_with_a_script_is_shown_without_it(client: TestClient) -> None:
    note = client.get("/notes/evil.md").text
    body = note[note.index('<article class="note-body">') :]
    assert "これは本文です" in body
    assert not re.search(r"<script|<img|onerror|href=.javascript", body)


def test_title_of_a_note_is_shown_once(client: TestClient) -> None:
    assert client.get("/notes/aws/sqs.md").text.count("Amazon SQS</h1>") == 1
    assert '<h1 class="note-title">memo</h1>' in client.get("/notes/memo.txt").text


def test_a_link_made_before_the_note_changed_shows_the_same_words(tmp_path: Path) -> None:
    old, quote = "# 題\n\n上限は15分です。\n", "上限は15分です。"
    link = span_url("a.md", old.index(quote), quote)
    for now, marked in (
        (old, True),
        (old.replace("# 題", "# 題\n\n前に足した段落。"), True),
        (old.replace("15分", "30分"), False),
    ):
        assistant = FakeAssistant({"a.md": now})
        with TestClient(create_app(Settings(index=tmp_path), assistant)) as client:
            note = client.get(link).text
        assert (f"<mark>{quote}</mark>" in note) is marked
        assert ("<mark" in note) is marked
        assert ("引用された言葉は見つかりませんでした" in note) is not marked


def test_titles_and_tags_of_notes_are_escaped(tmp_path: Path) -> None:
    note = '---\ntitle: "<b>題</b>"\ntags: ["<i>札</i>", A, B, C, D]\n---\n本文\n'
    with TestClient(create_app(Settings(index=tmp_path), FakeAssistant({"a.md": note}))) as client:
        for path in ("/", "/notes/a.md"):
            assert not re.search(r"<b>題|<i>札", client.get(path).text)


def test_model_picker_is_there_only_for_a_choice(tmp_path: Path) -> None:
    for models, shown in ((("extractive",), False), (("extractive", "llama"), True)):
        app = create_app(Settings(index=tmp_path), FakeAssistant(models=models))
        with TestClient(app) as client:
            assert ('<select id="model">' in client.get("/").text) is shown


def test_contents_name_headings_that_have_no_text_of_their_own() -> None:
    text = "# 一\n## 二\n本文\n## 三\n本文\n# 四\n本文\n"
    document = make_document("a.md", text)
    starts = [0, text.index("## 三"), text.index("# 四")]
    paths = [("一", "二"), ("一", "三"), ("四",)]
    sections = [
        Section(str(start), "a.md", path, start, start + 1)
        for start, path in zip(starts, paths, strict=True)
    ]
    contents = [(heading["text"], heading["depth"]) for heading in headings_of(document, sections)]
    assert contents == [("一", 1), ("二", 2), ("三", 2), ("四", 1)]


@pytest.mark.parametrize(
    ("why", "text", "expected"),
    [
        ("plain", "文です。", "<p>文です。</p>"),
        ("bold", "**30秒**です", "<p><strong>30秒</strong>です</p>"),
        ("HTML is text", "<b>太</b>", "<p>&lt;b&gt;太&lt;/b&gt;</p>"),
        ("scripts are text", "<script>x</script>", "<p>&lt;script&gt;x&lt;/script&gt;</p>"),
        ("no code from a link", "[押す](javascript:x)", "<p>[押す](javascript:x)</p>"),
        ("no picture is loaded", "![図](http://a/b.png)", '<p><span class="picture">図</span></p>'),
        ("heading as lead", "キュー：30秒", '<p class="lead">キュー</p><p>30秒</p>'),
        ("owner as lead", "キュー › 時間：30秒", '<p class="lead">キュー › 時間</p><p>30秒</p>'),
        ("colon that is no heading", "既定：30秒", "<p>既定：30秒</p>"),
    ],
)
def test_statements_are_rendered_safely(why: str, text: str, expected: str) -> None:
    assert render_statement(text, [("SQS", "キュー")]) == expected, why


@pytest.mark.parametrize(
    ("why", "text", "expected"),
    [
        ("brackets inside", "これは**「重要」**です", "これは<strong>「重要」</strong>です"),
        ("full stop inside", "**終わり。**次", "<strong>終わり。</strong>次"),
        ("Latin punctuation inside", "値は**(例)**です", "値は<strong>(例)</strong>です"),
        ("code inside", "**`a`の値**は", "<strong><code>a</code>の値</strong>は"),
        ("one star", "これは*「語」*です", "これは<em>「語」</em>です"),
        ("multiplication stays", "2 * 3 * 4", "2 * 3 * 4"),
        ("English as ever", "a**(b)**c", "a**(b)**c"),
    ],
)
def test_bold_works_in_text_without_spaces(why: str, text: str, expected: str) -> None:
    assert render_statement(text) == f"<p>{expected}</p>", why
