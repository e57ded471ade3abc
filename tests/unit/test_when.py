"""Conditions on what a run logged: what holds, what is refused and how, and that nothing a person writes does more."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.promote import LONGEST_CONDITION
from runyard.api.when import Facts, Kind, WrongCondition, judge, read

RUN = Facts(
    "3f2a91bc" + "0" * 24,
    metrics={"f1_score": 0.9, "recall": 0.7, "val/f1 (best)": 0.8, "nothing": float("nan"), "much": float("inf")},
    params={"solver": "lbfgs", "depth": "8"},
    tags={"runyard.dev/outcome": "Succeeded"},
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("metrics.f1_score >= 0.9", True),
        ("metrics.f1_score > 0.9", False),
        ("metrics.f1_score == 0.9", True),
        ("metrics.f1_score != 0.9", False),
        ("metrics.f1_score<1", True),
        ("0.5 <= metrics.recall", True),
        (".5 <= metrics.recall", True),
        ("metrics.recall > -1e3", True),
        ("metrics.recall < metrics.f1_score", True),
        ("metrics.much > 1e308", True),
        ("metrics.f1_score >= 0.9 && metrics.recall >= 0.8", False),
        ("metrics.f1_score >= 0.9 || metrics.recall >= 0.8", True),
        # && goes before ||.
        ("metrics.f1_score >= 0.9 || metrics.recall >= 0.8 && metrics.recall >= 0.9", True),
        ("(metrics.f1_score >= 0.9 || metrics.recall >= 0.8) && metrics.recall >= 0.9", False),
        ("!(metrics.recall >= 0.8)", True),
        ('metrics["val/f1 (best)"] > 0.7', True),
        ("metrics['val/f1 (best)'] > 0.7", True),
        ("metrics.`val/f1 (best)` > 0.7", True),
        ("params.solver == \"lbfgs\" && params.depth != '9'", True),
        ('tags["runyard.dev/outcome"] == "Succeeded"', True),
        ("\n metrics . f1_score\t>=\r\n0.9 ", True),
    ],
)
def test_a_condition_holds_or_does_not(text: str, *, holds: bool) -> None:
    assert judge(read(text), RUN).holds is holds


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("metrics.f1_score  >=\n0.9", "metrics.f1_score >= 0.9 holds: f1_score is 0.9"),
        (
            "metrics.f1_score > 0.1 && metrics.recall >= 0.8 && metrics.f1_score < 1",
            (
                "metrics.f1_score > 0.1 && metrics.recall >= 0.8 && metrics.f1_score < 1 does not hold: "
                "f1_score is 0.9, recall is 0.7"
            ),
        ),
        ('params.solver == "saga"', 'params.solver == "saga" does not hold: solver is "lbfgs"'),
    ],
)
def test_what_was_compared_is_said(text: str, because: str) -> None:
    assert judge(read(text), RUN).because == because


@pytest.mark.parametrize(
    ("text", "because"),
    [
        (
            "metrics.precision > 0.5",
            "run 3f2a91bc has no metric precision; it has: f1_score, much, nothing, recall, val/f1 (best)",
        ),
        # A name that is written wrong is never passed over.
        ("metrics.f1_score >= 0.9 || metrics.precision > 0.5", "run 3f2a91bc has no metric precision; it has: "),
        ("!(metrics.precision > 0.5)", "run 3f2a91bc has no metric precision; it has: "),
        ("metrics.precision != 0.5", "run 3f2a91bc has no metric precision; it has: "),
        ('params.optimizer != "adam"', "run 3f2a91bc has no param optimizer; it has: depth, solver"),
        ("metrics.nothing != 0.5", "nothing of run 3f2a91bc is NaN, which is no number"),
        ("!(metrics.nothing > 0.5)", "nothing of run 3f2a91bc is NaN, which is no number"),
    ],
)
def test_nothing_holds_of_a_value_that_is_not_there(text: str, because: str) -> None:
    verdict = judge(read(text), RUN)
    assert not verdict.holds
    assert verdict.because.startswith(because)


def test_a_run_with_nothing_or_very_much_is_told_in_a_line() -> None:
    asked = read("metrics.f1 > 0")
    assert judge(asked, Facts("a" * 32)).because == "run aaaaaaaa has no metric f1; it has: no metrics"
    many = Facts("a" * 32, metrics={f"metric-{number:04}" + "x" * 200: 0.0 for number in range(1000)})
    said = judge(asked, many).because
    assert said.endswith("… and 990 more")
    assert len(said) < 1_200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", 'at character 1: expected metrics.NAME, params.NAME, tags.NAME, a number or a "text"; found the end'),
        ("f1 > 0.9", 'at character 1: expected metrics.NAME, params.NAME, tags.NAME, a number or a "text"; found "f1"'),
        ("metrics.f1", "at character 11: expected a comparison (== != < <= > >=); found the end"),
        ("metrics.f1 = 0.9", 'at character 12: write == for equal; found "="'),
        ("metrics.f1 > 0.9 and metrics.f1 < 1", 'at character 18: write && for and; found "and"'),
        ("not metrics.f1 > 0.9", 'at character 1: write !(…) for not; found "not"'),
        ("!metrics.f1 > 0.9", 'at character 2: expected ( after !; found "metrics"'),
        ("0.1 < metrics.f1 < 0.9", 'at character 18: expected &&, || or the end; found "<"'),
        ("(metrics.f1 > 0.9", "at character 18: expected &&, || or ); found the end"),
        ("metrics.val/f1 > 0.9", 'at character 12: a name with other characters is written metrics["NAME"]'),
        ("metrics.fairness.sex.gap < 0.1", 'at character 17: a name with other characters is written metrics["NAME"]'),
        ("metrics.f1-5 > 0.9", 'at character 11: a name with other characters is written metrics["NAME"]'),
        ("metrics[f1] > 0.9", 'at character 9: expected a name in quotes, as in metrics["NAME"]; found "f1"'),
        ("metrics > 0.9", 'at character 9: expected metrics.NAME or metrics["NAME"]; found ">"'),
        ("1 < 2", "at character 1: compare with metrics.NAME, params.NAME or tags.NAME"),
        ("params.depth > 5", "at character 1: metrics are numbers, params and tags are text"),
        ('metrics.f1 == "0.9"', "at character 1: metrics are numbers, params and tags are text"),
        ('params.depth < "5"', "at character 1: < is for numbers; params and tags are text, with == and !="),
        ('params.path == "a\\b"', 'expected metrics.NAME, params.NAME, tags.NAME, a number or a "text"; found "\\""'),
        ("metrics.f1 < 1e999", "at character 14: 1e999 is too large"),
        ("metrics.f1 < 9223372036854775808", "is too large: write it with an exponent"),
        ("(" * 33 + "metrics.f1 > 0" + ")" * 33, "expected no more than 32 brackets in each other"),
        ("metrics.f1 > 0 " + " " * 1_000, "a condition has 1000 characters at most, and this one has 1015"),
        ('params.a == "\udcff"', "a condition is text, and this one has bytes that are none"),
        ("__import__('os').system('true')", "at character 1: expected metrics.NAME"),
        ("metrics.__class__.__mro__ > 0", "at character 18: a name with other characters"),
        ("[1, 2].map(x, x) == metrics.f1", "at character 1: expected metrics.NAME"),
    ],
)
def test_what_is_no_condition_is_refused_with_its_place_and_the_remedy(text: str, said: str) -> None:
    with pytest.raises(WrongCondition) as refused:
        read(text)
    assert said in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_condition_tells_its_first_metric() -> None:
    assert read('params.a == "x" && metrics.f1 > 0 && metrics.recall > 0').first_metric == "f1"
    assert read('params.a == "x"').first_metric is None


CODE = {"exec", "compile", "import", "open", "os.system", "subprocess.Popen", "ctypes.dlopen", "socket.connect"}
_seen: list[str] | None = None


def _audit(event: str, _: tuple[object, ...]) -> None:
    if _seen is not None and event in CODE:
        _seen.append(event)


sys.addaudithook(_audit)


@contextmanager
def nothing_is_run() -> Iterator[None]:
    """Fail if Python compiles, executes, imports or opens anything."""
    global _seen  # noqa: PLW0603 an audit hook cannot be taken away
    _seen = []
    try:
        yield
        assert _seen == []
    finally:
        _seen = None


def test_what_runs_code_is_seen() -> None:
    with pytest.raises(AssertionError), nothing_is_run():
        eval("1 + 1")  # noqa: S307


WORDS = st.sampled_from(
    [
        *(
            "metrics",
            "params",
            "tags",
            ".",
            "[",
            "]",
            '"f1"',
            "'f1'",
            "`f1`",
            "f1",
            "recall",
            "(",
            ")",
            "!",
            "&&",
            "||",
        ),
        *("==", "!=", "<", "<=", ">", ">=", "=", "0.9", "-1", "1e9", "and", "in", "true", "null", "has", "size", "\\"),
        *(
            "metrics.f1 > 0.5",
            'params.a == "x"',
            "__import__",
            "lambda",
            "{",
            "}",
            ",",
            "%",
            "+",
            "?",
            ":",
            "\x00",
            "é",
        ),
    ]
)


@given(st.one_of(st.text(), st.lists(WORDS).map("".join), st.lists(WORDS).map(" ".join)))
def test_any_text_is_a_condition_or_is_refused_and_nothing_runs(text: str) -> None:
    run = Facts("a" * 32, metrics={"f1": 0.7, "recall": float("nan")}, params={"a": "x", "f1": "y"})
    with nothing_is_run():
        try:
            condition = read(text)
        except WrongCondition:
            return
        assert judge(condition, run).holds in {True, False}


@pytest.mark.parametrize(
    "text",
    [
        "(" * LONGEST_CONDITION,
        "!(" * (LONGEST_CONDITION // 2),
        "(((" * 9 + "metrics.f1>0" + "&&metrics.f1>0)" * 27,
        "metrics.f1>0" + "||metrics.f1>0" * 70,
        '"' * LONGEST_CONDITION,
        "1" * LONGEST_CONDITION,
        "." * LONGEST_CONDITION,
        "-" * LONGEST_CONDITION,
        " " * LONGEST_CONDITION,
        "metrics." * 125,
        "`" * LONGEST_CONDITION,
    ],
)
def test_the_work_grows_with_the_length_and_no_faster(text: str) -> None:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        judge(read(text), Facts("a" * 32, metrics={"f1": 1.0}))
    except WrongCondition:
        pass
    finally:
        sys.setprofile(before)
    assert calls < 100 * LONGEST_CONDITION


NAMES = st.sampled_from(["f1", "_x", "Recall_2", "val/f1", "a b", "it's"])
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53), st.sampled_from([0, 1, 0.5])
)
TEXTS = st.sampled_from(["", "x", "lbfgs", 'a "quote"', "é"])


def quoted(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'


def reference(kind: Kind) -> st.SearchStrategy[str]:
    return NAMES.map(lambda name: f"{kind}.{name}" if name.isidentifier() else f"{kind}[{quoted(name)}]")


METRIC = reference(Kind.METRICS)
TEXT = st.one_of(reference(Kind.PARAMS), reference(Kind.TAGS))
COMPARISONS = st.one_of(
    st.tuples(METRIC, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.one_of(NUMBERS.map(repr), METRIC)),
    st.tuples(NUMBERS.map(repr), st.sampled_from(["<", ">="]), METRIC),
    st.tuples(TEXT, st.sampled_from(["==", "!="]), st.one_of(TEXTS.map(quoted), TEXT)),
).map(" ".join)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(" && ".join),
        st.tuples(inner, inner).map(" || ".join),
        inner.map("({})".format),
        inner.map("!({})".format),
    ),
    max_leaves=6,
)


@given(
    CONDITIONS,
    st.dictionaries(NAMES, st.one_of(NUMBERS.map(float), st.sampled_from([float("nan"), float("inf")]))),
    st.dictionaries(NAMES, TEXTS),
    st.dictionaries(NAMES, TEXTS),
)
def test_what_holds_here_holds_in_cel(
    text: str, metrics: dict[str, float], params: dict[str, str], tags: dict[str, str]
) -> None:
    run = Facts("a" * 32, metrics=metrics, params=params, tags=tags)
    condition = read(text)
    holds = judge(condition, run).holds
    lacking = [asked for asked in condition.references if run.lacks(asked.kind, asked.name)]
    assert not (lacking and holds)
    if not lacking:
        assert cel.evaluate(text, {"metrics": metrics, "params": params, "tags": tags}) is holds
