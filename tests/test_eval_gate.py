from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from eval.baselines import Baseline, kept_scores, read_baseline, read_floors, write_baseline
from eval.exports import gate_json, junit_xml, summary_markdown
from eval.gate import GateResult, check_gate
from eval.gold import GoldQuestion, Target
from eval.probing import embed_probes
from eval.runs import WHOLE, Evaluation, run_answers, run_searches
from eval.summary import summarise
from rag.errors import ConfigError
from rag.retrieval import LEGS
from tests.eval_fakes import ScriptedAssistant, make_note

Ranking = Mapping[str, Sequence[str]]
N = 40
NOTE = make_note("a.md", "\n".join(f"事実{n:02}。" for n in range(N)))
QUESTIONS = tuple(
    GoldQuestion(
        query_id=f"q{n:02}",
        question=f"{n}番は?",
        answerable=True,
        targets=(Target("a.md", f"事実{n:02}。", spans=((n * 6, n * 6 + 5),)),),
        answer_keys=((f"事実{n:02}",),),
    )
    for n in range(N)
)
UNANSWERABLE = tuple(GoldQuestion(f"u{n}", f"天気{n}は?", False, ()) for n in range(8))
RIGHT: Ranking = {question.question: (f"a.md#{n + 1}",) for n, question in enumerate(QUESTIONS)}
REFUSING = {question.question: 0.1 for question in UNANSWERABLE}
LEGS_RIGHT: dict[str, Ranking] = dict.fromkeys(LEGS, RIGHT)
DEAD: Ranking = {question.question: () for question in QUESTIONS}


def wrong_for(count: int) -> Ranking:
    """A ranking that misses the first `count` questions."""
    return {**RIGHT} | {question.question: ("a.md#40",) for question in QUESTIONS[:count]}


def evaluate(
    rankings: Mapping[str, Ranking] | None = None,
    answerable: dict[str, float] = REFUSING,
    questions: tuple[GoldQuestion, ...] = (*QUESTIONS, *UNANSWERABLE),
    legs: tuple[str, ...] = LEGS,
    query_prefix: str = "query: ",
) -> Evaluation:
    assistant = ScriptedAssistant(
        (NOTE,), {WHOLE: RIGHT, **(rankings or {})}, answerable, query_prefix
    )
    documents = {NOTE.doc_id: NOTE}

    def step(what: str, done: int, total: int) -> None: ...

    runs = {run: run_searches(assistant, questions, run, False, step) for run in (WHOLE, *legs)}
    answers = run_answers(assistant, questions, documents, runs[WHOLE], step)
    probes = embed_probes(assistant.embedder)
    return Evaluation("gold", "gold", questions, documents, runs, answers, probes)


def baseline_of(evaluation: Evaluation, floors: dict[str, dict[str, float]]) -> Baseline:
    fingerprints = {q.query_id: q.fingerprint for q in evaluation.questions}
    return Baseline("gold", fingerprints, kept_scores(evaluation), floors, evaluation.probes)


GOOD = baseline_of(evaluate(), {})


def gate(evaluation: Evaluation, baseline: Baseline = GOOD) -> GateResult:
    return check_gate(evaluation, summarise(evaluation), baseline)


def failed(result: GateResult) -> set[str]:
    return {check.name for check in result.checks if check.status == "fail"}


def test_with_nothing_changed_every_check_passes_every_time() -> None:
    results = [gate(evaluate()) for _ in range(10)]
    assert all(result.passed for result in results)
    assert all(gate_json(result) == gate_json(results[0]) for result in results)
    assert {check.status for check in results[0].checks} == {"pass"}
    assert len(results[0].checks) == 6 + 2 * len(LEGS) + 2


@pytest.mark.parametrize("leg", LEGS)
def test_a_dead_leg_fails_though_the_whole_is_as_good_as_before(leg: str) -> None:
    result = gate(evaluate({leg: DEAD}))
    assert failed(result) == {f"{leg} hit@5", f"{leg} ndcg@10"}
    (check,) = (check for check in result.checks if check.name == f"{leg} hit@5")
    assert set(check.reasons) == {"interval", "sign_test"}
    assert len(check.flips) == N


def test_a_leg_that_is_not_measured_any_more_fails() -> None:
    assert failed(gate(evaluate(legs=LEGS[1:]))) == {"dense hit@5", "dense ndcg@10"}


def test_a_lost_prefix_fails_though_every_rank_is_kept() -> None:
    result = gate(evaluate(query_prefix=""))
    assert "dense query vectors floor" in failed(result)
    (check,) = (check for check in result.checks if check.status == "fail")
    assert "embedded otherwise than in the baseline" in check.message


def test_five_lost_questions_fail_and_one_warns() -> None:
    assert {"whole hit@1", "whole hit@5", "whole ndcg@10", "whole answer_right"} == failed(
        gate(evaluate(LEGS_RIGHT | {WHOLE: wrong_for(5)}))
    )
    one = gate(evaluate(LEGS_RIGHT | {WHOLE: wrong_for(1)}))
    assert one.passed
    assert {check.name for check in one.checks if check.status == "warn"} == {
        "whole hit@1",
        "whole hit@5",
        "whole ndcg@10",
        "whole answer_right",
    }


def test_what_flipped_and_the_smallest_visible_loss_are_told() -> None:
    result = gate(evaluate({WHOLE: wrong_for(1)} | LEGS_RIGHT))
    (check,) = (check for check in result.checks if check.name == "whole hit@5")
    assert [(flip.query_id, flip.lost) for flip in check.flips] == [("q00", True)]
    # (1 - 4/40)^40 = 1.5% < 2.5%, but (1 - 3/40)^40 = 4.4%
    assert check.message == (
        "1.000 → 0.975 on 40 questions (-0.025, 95% -0.075 to +0.000; 0 won, 1 lost, p = 0.500): "
        "lower, within noise; smallest loss it can see: 4 of 40 (10.0 points)"
    )


def test_a_gain_passes_and_its_flips_are_told() -> None:
    before = baseline_of(evaluate({WHOLE: wrong_for(6)} | LEGS_RIGHT), {})
    result = gate(evaluate(), before)
    assert result.passed
    assert {flip.query_id for flip in result.flips if not flip.lost} == {
        f"q{n:02}" for n in range(6)
    }


def test_answering_what_the_notes_do_not_hold_fails() -> None:
    careless = evaluate({WHOLE: {**RIGHT} | {q.question: ("a.md#1",) for q in UNANSWERABLE}}, {})
    assert failed(gate(careless)) == {"whole decision_right"}


@pytest.mark.parametrize(("floor", "fails"), [(1.0, False), (1.0001, True)])
def test_a_floor_holds_at_its_value_and_fails_below(floor: float, fails: bool) -> None:
    baseline = replace(GOOD, floors={"words": {"hit@5": floor}})
    result = gate(evaluate(), baseline)
    assert (failed(result) == {"words hit@5 floor"}) == fails


def test_a_floor_of_something_that_is_not_measured_fails() -> None:
    result = gate(
        evaluate(legs=()), Baseline("gold", GOOD.fingerprints, {}, {"late": {"hit@5": 0}})
    )
    assert failed(result) == {"late hit@5 floor"}


def test_a_changed_set_is_compared_on_what_both_have_and_says_so() -> None:
    new = GoldQuestion("q99", "新しい?", True, QUESTIONS[0].targets)
    asked_otherwise = replace(QUESTIONS[1], question="1番って?")
    evaluation = evaluate(questions=(asked_otherwise, *QUESTIONS[2:], new))
    result = gate(evaluation)
    assert result.passed
    assert (result.added, result.changed) == (("q99",), ("q01",))
    assert result.removed == ("q00", *(question.query_id for question in UNANSWERABLE))
    assert result.compared == N - 2
    assert result.notes[0] == "questions new: 1 (q99)"
    assert result.notes[-1] == "compared on the 38 questions that both have unchanged"


def test_a_baseline_of_another_set_is_refused() -> None:
    with pytest.raises(ConfigError, match="'squad' set, this run on 'gold'"):
        gate(evaluate(), replace(GOOD, kind="squad"))
    with pytest.raises(ConfigError, match="none of the 48 questions stands unchanged"):
        gate(evaluate(), replace(GOOD, fingerprints={"q00": "other"}))


def test_a_run_that_is_new_is_only_noted() -> None:
    before = baseline_of(evaluate(legs=LEGS[1:]), {})
    result = gate(evaluate(), before)
    assert result.passed
    assert result.notes == ["run 'dense' is not in the baseline"]


def test_a_written_baseline_reads_back_and_is_always_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        evaluation = evaluate()
        write_baseline(tmp_path / folder, evaluation, summarise(evaluation))
    texts = [(tmp_path / folder / "baseline.json").read_bytes() for folder in ("a", "b")]
    assert texts[0] == texts[1]
    found = read_baseline(tmp_path / "a")
    assert (found.kind, found.fingerprints) == (GOOD.kind, GOOD.fingerprints)
    assert found.scores == GOOD.scores
    assert found.floors[WHOLE]["citations_valid"] == 1
    assert found.floors["late"]["hit@5"] == pytest.approx(0.91)  # Wilson's low of 40/40 is 0.912
    assert gate(evaluate(), found).passed


def test_writing_a_baseline_again_keeps_the_floors(tmp_path: Path) -> None:
    floors = tmp_path / "floors.toml"
    floors.write_text('[whole]\n"hit@5" = 0.5\n')
    evaluation = evaluate()
    write_baseline(tmp_path, evaluation, summarise(evaluation))
    assert read_baseline(tmp_path).floors == {"whole": {"hit@5": 0.5}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[hole]\n", r"unknown table \[hole\]; choose of whole, dense"),
        ('"hit@5" = 1\n', r"unknown table \[hit@5\]"),
        ('[whole]\n"hit@7" = 1\n', r"unknown metric 'hit@7' in \[whole\]"),
        ('[whole]\n"hit@5" = 90\n', r"hit@5 = 90 is not a share"),
        ('[whole]\n"hit@5" = "high"\n', "'high' is not a number"),
        ("[whole\n", "not TOML"),
    ],
)
def test_a_fault_in_the_floors_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "floors.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_floors(path)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"schema": 9}', '{"schema": 1, "questions": {"q": 1}}']
)
def test_a_broken_baseline_is_refused_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "baseline.json").write_text(text)
    with pytest.raises(ConfigError, match="kotae eval --write-baseline"):
        read_baseline(tmp_path)


def test_an_absent_baseline_names_the_way_to_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"baseline\.json: cannot be read .*--write-baseline"):
        read_baseline(tmp_path / "absent")


def test_junit_has_a_case_for_each_check_and_a_failure_for_each_failed() -> None:
    result = gate(evaluate({"words": DEAD}))
    suite = ElementTree.fromstring(junit_xml(result, "gold\x00"))
    assert (suite.get("tests"), suite.get("failures")) == (str(len(result.checks)), "2")
    failures = {
        case.get("name") for case in suite.findall("testcase") if case.find("failure") is not None
    }
    assert failures == failed(result)
    assert "lost: q00, q01" in suite.findtext("testcase/failure", "")


def test_the_page_for_a_pull_request_names_what_failed() -> None:
    evaluation = evaluate({"words": DEAD})
    text = summary_markdown(evaluation, summarise(evaluation), gate(evaluation), ("hit@5",))
    assert "| whole | 1.000 (0.912–1.000) |" in text
    assert "**Gate: FAILED**" in text
    assert "- FAIL words hit@5: 1.000 → 0.000 on 40 questions" in text
