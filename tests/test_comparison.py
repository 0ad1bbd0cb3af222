from __future__ import annotations

import pytest

from rag.aliases import Aliases
from rag.comparison import compared_subjects, names_subject, with_both_sides
from rag.types import SearchResult
from tests.fakes import make_chunk, make_hit

ALIASES = Aliases.of([["Network Load Balancer", "NLB"]])


@pytest.mark.parametrize(
    ("question", "subjects"),
    [
        ("ブルー/グリーンとローリングの違いは？", ("ブルー/グリーン", "ローリング")),
        ("SQSとSNSはどう違う？", ("SQS", "SNS")),
        ("MemcachedとRedisどっちを選ぶ？", ("Memcached", "Redis")),
        ("MemcachedとRedis、どちらが安い？", ("Memcached", "Redis")),
        ("ALBとNLBの比較", ("ALB", "NLB")),
        ("Step FunctionsとSWFの使い分け", ("Step Functions", "SWF")),
        ("セキュリティグループってNACLと何が違うの？", ("セキュリティグループ", "NACL")),
        ("なるほど、じゃあIAMロールとIAMユーザーは何が違う？", ("IAMロール", "IAMユーザー")),
        ("ECS vs EKS", ("ECS", "EKS")),
        ("RDSか、それともAurora？", ("RDS", "Aurora")),
        ("Lambdaの最大実行時間は？", ()),
        ("KinesisとLambdaを組み合わせるとどうなる？", ()),
        ("これと何が違うの？", ()),
        ("違いは？", ()),
        ("あ" * 50 + "と" + "い" * 50 + "の違い", ()),
        ("", ()),
    ],
)  # fmt: skip
def test_the_two_sides_of_a_comparison(question: str, subjects: tuple[str, ...]) -> None:
    assert compared_subjects(question) == subjects


def test_a_subject_is_named_by_any_of_its_names() -> None:
    assert names_subject("ＮＬＢを置く", "NLB", ALIASES)
    assert names_subject("Network Load Balancerを置く", "NLB", ALIASES)
    assert not names_subject("ALBを置く", "NLB", ALIASES)


def result_of(*texts: str) -> SearchResult:
    chunks = [make_chunk(text, start_index=n * 100, doc_id=text) for n, text in enumerate(texts)]
    hits = tuple(make_hit(chunk, rank) for rank, chunk in enumerate(chunks, start=1))
    return SearchResult("？", "？", hits, 0.9, {"total": 1.0}, "s")


def merged(found: SearchResult, other: SearchResult) -> list[str]:
    result = with_both_sides(found, ("甲", "乙"), ALIASES, lambda subject: other)
    assert [hit.rank for hit in result.hits] == list(range(1, len(result.hits) + 1))
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)
    return [hit.chunk.text for hit in result.hits]


def test_the_side_that_is_missing_comes_in_place_of_the_last_hits() -> None:
    found = result_of("甲は一", "甲は二", "甲は三", "甲は四")
    both = merged(found, result_of("乙は一", "丙は一", "甲は一"))
    assert both == ["甲は一", "甲は二", "甲は三", "乙は一"]


def test_nothing_changes_when_both_sides_are_found_or_one_is_nowhere() -> None:
    both = result_of("甲は一", "乙は一")
    assert with_both_sides(both, ("甲", "乙"), ALIASES, lambda subject: both) is both
    one = result_of("甲は一")
    assert with_both_sides(one, ("甲", "乙"), ALIASES, lambda subject: one) is one
    assert with_both_sides(one, (), ALIASES, lambda subject: one) is one
