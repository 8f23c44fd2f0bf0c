"""Further functions under `jm.vmap`, beside the loop over sequences: exact, or refused with a remedy that works."""

import pathlib

import jax
import jax.numpy as jnp
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.one_sequence import further_libraries as libraries
from tests.support.one_sequence import further_models as models
from tests.support.one_sequence import further_numerics as numerics
from tests.support.one_sequence.functions import params, scalar
from tests.support.one_sequence.refused import REFUSED
from tests.support.one_sequence.row_by_row import check, groups, together

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "vmap.md"
EXACT = {
    "Markov models, filters and smoothers": models.MARKOV,
    "alignment": models.ALIGNMENT,
    "state-space models and linear attention": models.STATE_SPACE,
    "attention and decoding": models.ATTENTION,
    "sets, clusters and kernels": models.SETS,
    "statistics": numerics.STATISTICS,
    "signals and spectra": numerics.SIGNALS,
    "series of prices and of times": numerics.SERIES,
    "numerics and linear algebra": numerics.NUMERICS,
    "Haiku": libraries.HAIKU,
    "Equinox": libraries.EQUINOX,
    "distrax": libraries.DISTRAX,
    "optax": libraries.OPTAX,
}
QUICK = ("one past", "three", "solve")
ALONE = ("lstsq", "pinv")  # of which most draws are ill-conditioned; that of their name is not
# Of NumPy's indices, int64, JAX 0.10 asks for a symbolic size of that dtype, which it has not without x64.
WARNS = {"triu_indices": [pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning")]}


def label(names):
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def cases():
    """Families and names: some functions by themselves, the others a few at a time."""
    for family, table in EXACT.items():
        quick = [name for name in table if name in QUICK and family != "Equinox"]
        single = [name for name in table if name in quick or name in ALONE]
        others = {name: case for name, case in table.items() if name not in single}
        for names in [*([name] for name in single), *groups(others, 4)]:
            warns = [mark for name in names for mark in WARNS.get(name, [])]
            slow = [] if names[0] in quick else [pytest.mark.slow]
            yield pytest.param(family, names, marks=[*warns, *slow], id=f"{family}, {label(names)}")


X = jm.from_lengths(jnp.array([[0.5, 1.25, 0.75, 2.0], [1.5, 0.25, 1.0, 0.0], [0.75, 0.0, 0.0, 0.0]]), [4, 3, 1])


@pytest.mark.parametrize(("family", "names"), [*cases()])
def test_it_is_the_loop_over_sequences_alone(family, names):
    if family in ("Haiku", "distrax"):
        pytest.importorskip(family.lower(), exc_type=ImportError)
    check(label(names), together(EXACT[family], names), params())


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_a_remedy(name):
    refused = REFUSED[name]
    if refused.library:
        pytest.importorskip(refused.library)
    constraints = [f"t >= {refused.shortest}"] if refused.shortest > 1 else []

    def run(values):
        found = jm.vmap(refused.fn, constraints=constraints)(X.with_values(values))
        return found.sum() if refused.of_gradient else found

    with pytest.raises((jm.SymbolicLengthError, NotImplementedError)) as info:
        jax.make_jaxpr(jax.grad(run) if refused.of_gradient else run)(X.values)
    assert refused.says in str(info.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_the_remedy_works(name):
    refused = REFUSED[name]
    if refused.library:
        pytest.importorskip(refused.library)
    x = X.values[0]
    found, expected = refused.remedy(x), refused.fn(x)
    if refused.is_random:
        assert set(found.tolist()) <= set(x.tolist())
        assert len(set(found.tolist())) == len(expected)
    else:
        assert_close(found, expected)
    has_gradient = not refused.is_random and jnp.issubdtype(found.dtype, jnp.inexact)
    case = scalar(refused.remedy, is_positive=True, shortest=refused.shortest, has_gradient=has_gradient)
    check(name, case, params())


def test_the_page_counts_what_is_tested():
    rows = [f"| {family} | {len(cases)} |" for family, cases in EXACT.items()]
    total = sum(map(len, EXACT.values()))
    text = PAGE.read_text()
    missing = [row for row in (*rows, f"| together | {total} |") if row not in text]
    missing += [name for name in REFUSED if f"`{name.replace('`', '')}`" not in text and name not in text]
    assert not missing, "write these into docs/vmap.md"
