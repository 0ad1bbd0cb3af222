from __future__ import annotations

from collections.abc import Iterable

import pytest

from rag.facts import missing_facts


def aliases(name: str) -> Iterable[str]:
    return {
        "ssm": ["Systems Manager", "システムズマネージャー"],
        "codedeploy": ["コードデプロイ"],
        "puppet": ["Chef", "OpsWorks"],
    }.get(name, [])


@pytest.mark.parametrize(
    ("statement", "span"),
    [
        ("既定は30秒です。", "既定で３０ 秒のあいだ見えない。"),
        ("最大は1,000件です。", "1000件まで"),
        ("最大は10万件です。", "100,000件まで"),
        ("二つあります。", "2つある。"),
        ("3か月です。", "3ヶ月"),
        ("50%です。", "５０パーセント"),
        ("512MBです。", "512 MB"),
        ("既定は30です。", "既定は30秒"),
        ("CodeDeployを使います。", "AWS Code Deploy を使う"),
        ("AWS Lambdaで動きます。", "Lambdaで動く"),
        ("SSMを使います。", "Systems Managerを使う"),
        ("CodeDeployを使います。", "コードデプロイを使う"),
        ("s3:GetObjectが要ります。", "`s3:GetObject` を許可する"),
        ("数も名前もない文です。", "何も"),
    ],
)
def test_the_same_facts_in_other_writing_are_held(statement: str, span: str) -> None:
    assert missing_facts(statement, span, "", aliases) == []


@pytest.mark.parametrize(
    ("statement", "span", "missing"),
    [
        ("既定は31秒です。", "既定は30秒", ["31秒"]),
        ("既定は30分です。", "既定は30秒", ["30分"]),
        ("既定は3秒です。", "既定は30秒", ["3秒"]),
        ("既定は1.5秒です。", "既定は15秒", ["1.5秒"]),
        ("512GBです。", "512 MB", ["512gb"]),
        ("三つあります。", "2つある。", ["3つ"]),
        ("10万件です。", "10件", ["100000件"]),
        ("EBを使います。", "EBSを使う", ["eb"]),
        ("統合タイプはHTTPです。", "統合タイプはHTTP_PROXY", ["http"]),
        ("DynamoDBに書きます。", "S3に書く", ["dynamodb"]),
        ("Puppetを使います。", "Chefを使う", ["puppet"]),
        ("s3:PutObjectが要ります。", "s3:GetObjectを許可する", ["s3:putobject"]),
    ],
)
def test_other_facts_are_missing(statement: str, span: str, missing: list[str]) -> None:
    assert missing_facts(statement, span, "", aliases) == missing


def test_a_heading_may_name_the_subject_but_gives_no_number() -> None:
    assert missing_facts("SQSの既定は30秒です。", "既定は30秒", "Amazon SQS", aliases) == []
    assert missing_facts("既定では、SQSに送ります。", "S3に送る", "SQS", aliases) == ["sqs"]
    assert missing_facts("既定は30秒です。", "既定がある", "30秒の章", aliases) == ["30秒"]


def test_the_column_of_a_table_gives_the_unit() -> None:
    assert missing_facts("上限は512MBです。", "上限 | 512", "項目 | 大きさ(MB)", aliases) == []
    assert missing_facts("上限は512MBです。", "上限 | 512", "項目 | 大きさ", aliases) == ["512mb"]
