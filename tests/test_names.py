from __future__ import annotations

import pytest

from rag.aliases import Aliases
from rag.config import Settings
from rag.indexing import build_snapshot
from rag.loading import make_document
from rag.names import unknown_names
from rag.snapshot import Snapshot
from rag.text import words
from tests.fakes import BigramEmbedder, silent

NOTE = "## CodeDeploy\n\nCodeDeployは、appspec.ymlを読んでLambdaやEC2に配る。SSMも使える。\n"
ALIASES = Aliases.of([("Systems Manager", "SSM")])


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    documents = [make_document("a.md", NOTE)]
    return build_snapshot(documents, Settings(embedder="bigram"), BigramEmbedder(), silent)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("SageMakerの料金は？", True),
        ("Fargateで動かすには？", True),
        ("CodeDeployの設定は？", False),
        ("ＣｏｄｅＤｅｐｌｏｙの設定は？", False),  # full width
        ("lamdaに配れる？", False),  # misspelt
        ("Systems Managerは？", False),  # named by an alias alone
        ("EC2にデプロイする", False),
        ("自動で戻すには？", False),  # no Latin name at all
        ("10 GB 以上なら？", False),  # a unit
    ],
)
def test_a_name_that_no_note_knows_is_told_from_one_misspelt(
    snapshot: Snapshot, question: str, expected: bool
) -> None:
    assert bool(unknown_names(words(question), snapshot, ALIASES)) is expected
