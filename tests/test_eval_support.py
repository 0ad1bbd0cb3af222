from __future__ import annotations

from pathlib import Path

import pytest

from eval import support
from eval.gold import GoldQuestion, Target, load_gold
from eval.support import FALSE_KINDS, STATEMENTS, TRUE_KINDS, Case, made_of, read_statements, report
from rag.assistant import Assistant
from rag.config import Settings
from rag.loading import make_document
from tests.fakes import NOTES, install_fake_embedder

GOLD = Path(support.__file__).parent / "gold"


def asked(quote: str, query_id: str = "q1") -> GoldQuestion:
    start = NOTES["aws/sqs.md"].find(quote)
    target = Target("aws/sqs.md", quote, ((start, start + len(quote)),))
    return GoldQuestion(query_id, "受信したメッセージは何秒見えないか", True, (target,))


def test_every_written_statement_belongs_to_a_gold_question() -> None:
    known = {question.query_id for question in load_gold(sorted(GOLD.glob("*.jsonl")))}
    written = read_statements(STATEMENTS)
    assert written.keys() <= known
    kinds = [kind for statements in written.values() for kind, _ in statements]
    assert set(kinds) <= {*TRUE_KINDS, *FALSE_KINDS}
    assert all(statements[0][0] == "true" for statements in written.values())


@pytest.mark.parametrize(
    ("quote", "made"),
    [
        ("**既定は30秒**", [("verbatim", "既定は30秒"), ("number_swap", "既定は31秒")]),
        ("S3に置く", [("verbatim", "S3に置く")]),
        ("長" * 200, []),
    ],
)
def test_statements_are_made_of_the_quote(quote: str, made: list[tuple[str, str]]) -> None:
    assert list(made_of(asked(quote))) == made


def test_cases_are_judged_and_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_fake_embedder(monkeypatch)
    written = tmp_path / "written.jsonl"
    written.write_text(
        '{"query_id": "q1", "kind": "true", "statement": "受信したメッセージは、既定で30秒の'
        'あいだ他のコンシューマーから見えない。"}\n'
        '{"query_id": "q1", "kind": "negation", "statement": "受信したメッセージは、既定で30秒の'
        'あいだ他のコンシューマーから見える。"}\n',
        encoding="utf-8",
    )
    documents = [make_document(doc_id, text) for doc_id, text in NOTES.items()]
    assistant = Assistant.from_documents(documents, Settings(embedder="bigram"))
    question = asked("受信したメッセージは、既定で30秒のあいだ他のコンシューマーから見えない。")
    cases = list(support.make_cases(assistant, [question], written))
    judged = {
        case.kind: value >= 0.5
        for case, value in zip(cases, support.supports(assistant, cases), strict=True)
    }
    assert judged == {
        "true": True,
        "wrong_note": False,
        "negation": False,
        "verbatim": True,
        "number_swap": False,
    }


def test_the_report_gives_each_kind_with_its_n_then_precision_and_recall() -> None:
    kinds = ["true", "true", "entity", "verbatim"]
    cases = [Case(str(n), "held", kind, "文。", (), 1) for n, kind in enumerate(kinds)]
    lines = report(cases, [0.9, 0.4, 0.6, 0.7])
    assert lines[2].startswith("| true | 0.500 (")
    assert lines[2].endswith("| 2 |")
    assert lines[4].startswith("| entity | 1.000 (")
    assert "precision of 'confirmed' 0.500" in lines[-1]
    assert "recall 0.500" in lines[-1]
