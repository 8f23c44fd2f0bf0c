"""Every row of the table meets every law. A failure names the row and the laws that it breaks."""

import inspect
from collections.abc import Iterator, Mapping

import jax
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.laws.cases import CASES, Case
from tests.laws.cases.reductions import REDUCTIONS
from tests.support.batches import LENGTHS, TIME, Steps, draw_rows, place, right
from tests.support.laws import (
    DTYPE_LAWS,
    EAGER_LAWS,
    LAWS,
    MASK_LAWS,
    NEED_A_PROGRAM,
    TRANSFORM_LAWS,
    Law,
    laws_of,
    variants_of,
)
from tests.support.program import Trial

VARIANTS = variants_of(CASES)
ROWS = [pytest.param(case, marks=[pytest.mark.slow] if case.name in VARIANTS else []) for case in CASES]
NO_VARIANTS = [case for case in CASES if case.name not in VARIANTS]
NEED_NO_ROW = {
    "layers.Layer": "the protocol",
    "losses.Mean": "a container",
    "rnn.Cell": "a protocol",
    "rnn.LSTMParams": "a container",
    "rnn.LSTMState": "a container",
    "rnn.conv_lstm_step": "one step of one sequence, before there are masks",
    "rnn.lstm_step": "one step of one sequence, before there are masks",
}


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """No row drops a mask."""
    with jm.strict():
        yield


@pytest.mark.parametrize("case", ROWS, ids=str)
def test_masks(case, rng, x64):
    judge(Trial(case, rng), MASK_LAWS)


@pytest.mark.slow
@pytest.mark.parametrize("case", NO_VARIANTS, ids=str)
def test_transforms(case, rng, x64):
    judge(Trial(case, rng), TRANSFORM_LAWS)


@pytest.mark.slow
@pytest.mark.parametrize("case", NO_VARIANTS, ids=str)
def test_without_jit(case, rng, x64):
    judge(Trial(case, rng), EAGER_LAWS)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in NO_VARIANTS if case.has_floats], ids=str)
def test_dtypes(case, rng):
    judge(Trial(case, rng), DTYPE_LAWS)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_documents(name, rng):
    """Over words, of documents of sentences of words: what is left is a batch of sentences, which are real or not."""
    lengths = (*LENGTHS, 2)
    (words,) = draw_rows(rng, [Steps((3,), maximum=5)], lengths, overlapping=False)
    x = place(Steps(maximum=5), words, right(lengths, TIME), garbage=9)
    documents = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), x)
    reduction, empty = REDUCTIONS[name]
    sentences = getattr(jm.ops, name)(documents, axis=2)
    assert sentences.mask.tolist() == (np.reshape(lengths, (2, 3)) > 0).tolist()
    expected = [reduction(row, axis=0) if len(row) else np.full(3, empty) for row in words]
    assert_close(np.reshape(sentences.values, (6, 3)), expected)
    expected = [reduction(np.concatenate(rows), axis=0) for rows in (words[:3], words[3:])]
    assert_close(getattr(jm.ops, name)(documents, axis=(1, 2)), expected)


def laws_held(case: Case) -> set[str]:
    return laws_of(case) - (NEED_A_PROGRAM if case.name in VARIANTS else set())


def judge(trial: Trial, laws: Mapping[str, Law]) -> None:
    """Tries each law that the case does not skip, and fails with all that are broken."""
    broken = []
    for name, law in laws.items():
        try:
            if name in laws_held(trial.case):
                law(trial)
        except AssertionError as error:
            broken.append(f"{trial.case.name} breaks the law '{name}': {error}")
    if broken:
        pytest.fail("\n\n".join(broken), pytrace=False)


def test_the_table_is_complete():
    rooms = {"ops": jm.ops, "rnn": jm.rnn, "layers": jm.layers, "losses": jm.losses, "metrics": jm.metrics}
    public = {
        f"{room}.{name}"
        for room, module in rooms.items()
        for name, member in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(member)
    }
    covered = {case.covers for case in CASES}
    assert public - covered == NEED_NO_ROW.keys()
    assert {name for name in covered if name.partition(".")[0] in rooms} <= public


def test_no_name_loses_a_law_by_its_variants():
    for name in {case.covers for case in CASES}:
        rows = [case for case in CASES if case.covers == name]
        assert set().union(*map(laws_held, rows)) == set().union(*map(laws_of, rows)), name


def test_names_differ_and_skips_name_a_law_and_a_reason():
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        assert set(case.skips) <= LAWS.keys(), case
        assert all(case.skips.values()), case
        assert ("exact" in case.skips) == (case.oracle is None), case
