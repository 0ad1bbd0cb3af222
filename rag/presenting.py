"""Results as a terminal shows them, and as the JSON of the command line's `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rag.citations import cite_chunk
from rag.support import CONFIRMED_SUPPORT
from rag.types import Answer, Citation, Document, Hit, SearchResult

REFUSAL = "ノートに見つかりません。近い記述は次のとおりです。"
NOTHING_FOUND = "ノートに見つかりません。"
UNCONFIRMED = "（ノートでは未確認）"
FALLBACK_NOTICE = "{model} {reason}。ノートからの抜き出しで答えます。"
FALLBACK_REASONS: Mapping[str, str] = {
    "failed": "で問題が起きました",
    "unreachable": "につながりませんでした",
    "timeout": "から時間内に返事がありませんでした",
    "busy": "への問い合わせが混み合っています",
    "rate_limited": "の利用制限に達しました",
    "refused": "がリクエストを受け付けませんでした",
    "server_error": "のサーバーでエラーが起きました",
    "cut_off": "の回答が途中で切れました",
    "too_long": "の回答が長すぎました",
    "empty": "の回答が空でした",
    "unconfirmed": "の回答はノートで確かめられませんでした",
}
"""Each of `rag.errors.FAILURES` as it goes on behind the model's name."""
SNIPPET_CHARS = 240


def hit_json(hit: Hit) -> dict[str, Any]:
    """`{rank, score, signals, text, citation}`."""
    return {
        "rank": hit.rank,
        "score": round(hit.score, 6),
        "signals": {name: round(value, 6) for name, value in hit.signals.items()},
        "text": hit.chunk.text,
        "citation": asdict(cite_chunk(hit.chunk, hit.rank)),
    }


def search_json(result: SearchResult) -> dict[str, Any]:
    """What `kotae search --json` prints: the fields of `POST /api/search`."""
    return {
        "question": result.question,
        "search_question": result.search_question,
        "answerable": round(result.answerable, 4),
        "hits": [hit_json(hit) for hit in result.hits],
        "took_ms": _rounded(result.took_ms),
        "snapshot_id": result.snapshot_id,
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """What `kotae ask --json` prints: the fields of `POST /api/ask`."""
    return {
        "answer_id": answer.answer_id,
        "question": answer.question,
        "answer": answer_text(answer),
        "statements": [asdict(statement) for statement in answer.statements],
        "citations": [asdict(citation) for citation in answer.citations],
        "hits": [hit_json(hit) for hit in answer.hits],
        "answerable": round(answer.answerable, 4),
        "refused": answer.refused,
        "model": answer.model,
        "failed_model": answer.failed_model,
        "fallback_reason": answer.fallback_reason,
        "notice": fallback_notice(answer),
        "took_ms": _rounded(answer.took_ms),
        "snapshot_id": answer.snapshot_id,
    }


def answer_text(answer: Answer) -> str:
    """The answer with its `[n]`, or the sentence that says there is none."""
    if not answer.refused:
        return answer.text
    return REFUSAL if answer.hits else NOTHING_FOUND


def fallback_notice(answer: Answer) -> str | None:
    """Says that and why another model than the one asked for answers; None when it is the same."""
    if answer.failed_model is None or answer.fallback_reason is None:
        return None
    reason = FALLBACK_REASONS[answer.fallback_reason]
    return FALLBACK_NOTICE.format(model=answer.failed_model, reason=reason)


def search_lines(result: SearchResult) -> Iterator[str]:
    """Each passage under its place, best first."""
    if not result.hits:
        yield NOTHING_FOUND
    for hit in result.hits:
        place = place_words(cite_chunk(hit.chunk, hit.rank))
        yield f"{hit.rank}. {hit.chunk.breadcrumb}  ({place})"
        yield from (f"   {line}" for line in _snippet(hit.chunk.text))


def answer_lines(answer: Answer) -> Iterator[str]:
    """The answer, then its sources; or the nearest passages when the notes do not hold it."""
    notice = fallback_notice(answer)
    if notice is not None:
        yield notice
        yield ""
    if answer.refused:
        yield answer_text(answer)
        for hit in answer.hits[:3]:
            yield f"  - {hit.chunk.breadcrumb}  ({place_words(cite_chunk(hit.chunk, hit.rank))})"
        return
    for statement in answer.statements:
        marks = "".join(f"[{number}]" for number in statement.citation_numbers)
        confirmed = statement.support >= CONFIRMED_SUPPORT
        yield from f"{statement.text}{'' if confirmed else UNCONFIRMED}{marks}".splitlines()
    yield ""
    for citation in answer.citations:
        headings = " › ".join(part for part in (citation.title, *citation.headings) if part)
        yield f"[{citation.number}] {headings}  ({place_words(citation)})"


def cited_places(answer: Answer) -> Iterator[Citation]:
    """What `answer_lines` names the places of: the citations, and the nearest hits of a refusal."""
    yield from answer.citations
    yield from (cite_chunk(hit.chunk, hit.rank) for hit in answer.hits)


def place_words(citation: Citation) -> str:
    """`aws/sqs.md:12`."""
    return f"{citation.doc_id}:{citation.start_line}"


def note_file_url(corpus: Path, document: Document, line: int) -> str:
    """The note's own file, at a line."""
    path = corpus.resolve() / document.doc_id
    if not path.exists():  # its name has white space, which an id has not
        path = Path(document.source_path).resolve()
    return f"{path.as_uri()}#L{line}"


def _snippet(text: str) -> list[str]:
    shown = text if len(text) <= SNIPPET_CHARS else text[: SNIPPET_CHARS - 1] + "…"
    return [line for line in shown.splitlines() if line.strip()]


def _rounded(took_ms: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(milliseconds, 3) for stage, milliseconds in took_ms.items()}
