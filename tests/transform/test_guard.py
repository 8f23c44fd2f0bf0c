"""No question about a length chooses a branch for rows of all lengths in silence."""

import collections
import dataclasses
import functools
import operator
import threading

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jmask as jm
from jmask.testing import assert_close

LENGTHS = [4, 2, 1]


def batch():
    return jm.from_lengths(jnp.arange(1.0, 13.0).reshape(3, 4), LENGTHS)


def by(is_negative):
    """A function whose sign hangs on a question about the length."""
    return lambda x: -x.sum() if is_negative(x.shape[0]) else x.sum()


def matches(n):
    match n:
        case 1:
            return True
    return False


def matches_shape(n):
    match (n, 3):
        case (1, 3):
            return True
    return False


@dataclasses.dataclass(frozen=True)
class Size:
    n: int


TABLE = {1: True, 2: False}
lookup = TABLE.get
SILENT = {
    "==": lambda n: n == 1,
    "reflected": lambda n: 1 == n,  # noqa: SIM300 - the point
    "!=": lambda n: n != 1,
    "parity": lambda n: n % 2,
    "parity ==": lambda n: n % 2 == 0,
    "floor": lambda n: n // 4 == 1,
    "not": lambda n: not n - 1,
    "or": lambda n: n - 1 or 1,
    "bool": lambda n: bool(n - 1),
    "all": lambda n: all((3, n - 1)),
    "filter": lambda n: len(list(filter(None, (n - 1,)))),
    "shape": lambda n: (n,) == (1,),
    "in": lambda n: n in (1, 5),
    "in a list": lambda n: n in [1],
    "in a set": lambda n: n in {1, 2},
    "in a frozenset": lambda n: n in frozenset((1, 2)),
    "in a dict": lambda n: n in TABLE,
    "in a range": lambda n: n in range(2),
    "get": lambda n: TABLE.get(n, False),
    "get, by another name": lambda n: lookup(n, False),
    "subscript": lambda n: collections.defaultdict(bool, {1: True})[n],
    "a set of sizes": lambda n: len({n, 1}) == 1,
    "a set of a shape": lambda n: len(set((n, 1))) == 1,  # noqa: C405 - the point
    "hash": lambda n: hash(n) % 2,
    "index": lambda n: [1, 2, n].index(n),
    "count": lambda n: [1, 2].count(n),
    "Counter": lambda n: collections.Counter((n, 1))[1] == 2,
    "match": matches,
    "match of a shape": matches_shape,
    "dataclass": lambda n: Size(n) == Size(1),
    "operator": lambda n: operator.eq(n, 1),
    "tree": lambda n: jax.tree.map(operator.eq, [n], [1])[0],
    "functools": lambda n: functools.reduce(operator.eq, (n, 1)),
    "float": lambda n: n == 1.0,
    "NumPy": lambda n: np.equal(n, 1),
    "NumPy number": lambda n: np.int32(1) == n,
    "NumPy arrays": lambda n: np.array_equal([n, 3], [1, 3]),
    "NumPy all": lambda n: (np.array([1, 2], object) == n).any(),
}


@pytest.mark.parametrize("name", SILENT)
def test_a_branch_by_a_length_is_refused(name):
    with pytest.raises(jm.SymbolicLengthError) as info:
        jm.vmap(by(SILENT[name]))(batch())
    assert "jnp.asarray(x.shape[0])" in str(info.value)


@pytest.mark.parametrize("name", ["==", "in a set", "bool"])
def test_nothing_is_proved_by_such_a_branch(name):
    fn = SILENT[name]
    with pytest.raises(jm.SymbolicLengthError):
        jm.is_pointwise(lambda x: x if fn(x.shape[0]) else -x, jm.Input((None,)))
    layer = jm.layers.Lambda(lambda v: v if fn(v.shape[1]) else -v, supports_masking="auto")
    with jm.strict(), pytest.raises(jm.MaskDroppedError):
        layer(batch())
    with pytest.raises(jm.SymbolicLengthError):
        jm.layers.PerSequence(by(fn)).apply({}, batch())


def test_a_comparison_of_objects_of_jax_is_one_of_their_sizes():
    def shape_of(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype)

    with pytest.raises(jm.SymbolicLengthError, match="asks for `t == 1`"):
        jm.vmap(lambda x: -x.sum() if shape_of(x) == shape_of(jnp.ones(1)) else x.sum())(batch())
    same = jm.vmap(lambda x: -x.sum() if shape_of(x) == shape_of(x * 2) else x.sum())(batch())
    assert_close(same, -jm.vmap(jnp.sum)(batch()))


def test_the_message_names_the_line():
    with pytest.raises(jm.SymbolicLengthError, match=r"asks for `t == 1`(.|\n)*test_guard.py") as info:
        jm.vmap(by(SILENT["=="]))(batch())
    assert "n == 1," in str(info.value)
    with pytest.raises(jm.SymbolicLengthError, match="whether a set or a dictionary holds `t`"):
        jm.vmap(by(SILENT["in a set"]))(batch())
    with pytest.raises(jm.SymbolicLengthError, match="the truth of `t - 1`"):
        jm.vmap(by(SILENT["bool"]))(batch())


@functools.lru_cache
def of_size(n):
    return str(n)


KNOWN = {
    "itself": (lambda n: n == n, True),
    "its successor": (lambda n: n != n + 1, True),
    "no steps": (lambda n: n == 0, False),
    "truth": (lambda n: bool(n), True),
    "negative": (lambda n: n == -1, False),
    "more than there are": (lambda n: n == 5, False),
    "fraction": (lambda n: n == 1.5, False),
    "text": (lambda n: n == "t", False),
    "None": (lambda n: n is None or n == None, False),  # noqa: E711 - the point
    "a shape of another rank": (lambda n: (n, 3) == (n,), False),
    "the same shape": (lambda n: (n, 3) == (n, 3), True),
    "in, itself": (lambda n: n in (n, 1), True),
    "twice": (lambda n: 2 * n == n + n, True),
    "cache": (lambda n: of_size(n) == "t", True),
    "jit": (lambda n: jax.jit(lambda x, n: x * n, static_argnums=1)(jnp.ones(1), n) is None, False),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_holds_for_all_lengths_is_answered(name):
    fn, answer = KNOWN[name]
    expected = [-x if answer else x for x in (10.0, 11.0, 9.0)]
    assert_close(jm.vmap(by(fn))(batch()), expected)


def test_static_arguments_and_sums_of_shapes():
    run = jax.jit(lambda x, n: x.sum() / n, static_argnums=1)
    assert_close(jm.vmap(lambda x: run(x, x.shape[0]))(batch()), [2.5, 5.5, 9])
    assert_close(jm.vmap(lambda x: x.sum() * sum(x.shape) * x.size)(batch()), [160, 44, 9])
    assert_close(jm.vmap(lambda x: x.sum() * x.shape[0] ** -0.5)(batch()), [5, 11 / 2**0.5, 9])


def test_comparison_with_an_array_is_an_array():
    for other in (jnp.asarray(1), 1 + jnp.asarray(0)):
        assert_close(jm.vmap(lambda x, o=other: jnp.where(x.shape[0] == o, -x.sum(), x.sum()))(batch()), [10, 11, -9])
        assert_close(jm.vmap(lambda x, o=other: jnp.where(o != x.shape[0], x.sum(), -x.sum()))(batch()), [10, 11, -9])


def test_libraries():
    pool = eqx.nn.MaxPool1d(2, 2, use_ceil=True)
    with pytest.raises(jm.SymbolicLengthError):
        jm.vmap(lambda x: pool(x[None])[0])(batch())


def test_symbolic_sizes_of_others_stay_as_they_are():
    (t,) = export.symbolic_shape("t")
    assert not t == 1  # noqa: SIM201 - the operator is tested
    assert t != 1
    assert t - 1
    assert {t: 2}[t] == 2
    assert {1: 2}.get(t) is None
    with pytest.raises(ValueError, match="non-integer powers"):
        t**0.5


def test_threads():
    found = []

    def run():
        try:
            jm.vmap(by(SILENT["=="]))(batch())
        except jm.SymbolicLengthError as error:
            found.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2


def test_a_reshape_that_loses_steps_is_refused():
    def pairs(x):
        return x.reshape(x.shape[0] // 2, 2)

    with pytest.raises(jm.SymbolicLengthError, match=r"test_guard\.py") as info:
        jm.vmap(pairs)(batch())
    assert "(floordiv(t, 2), 2)" in str(info.value)
    result = jm.vmap(pairs, constraints=["mod(t, 2) == 0"])(batch())
    assert result.lengths.tolist() == [2, 1, 0]


@pytest.mark.slow
def test_a_gradient_of_jax_that_branches_is_refused_until_the_branch_is_known():
    """The gradient of `det` asks for one step, and would be wrong for rows that have it."""

    def gradient(x):
        return jax.grad(lambda x: jnp.linalg.det(x @ x.T + jnp.eye(x.shape[0])))(x)

    x = jm.from_lengths(jnp.linspace(-1.0, 1.0, 24).reshape(2, 3, 4), [3, 1])
    with pytest.raises(jm.SymbolicLengthError, match=r"asks for `t == 1`(.|\n)*constraints=\["):
        jm.vmap(gradient)(x)
    found = jm.vmap(gradient, constraints=["t >= 2"])(x)
    np.testing.assert_allclose(found.values[0], gradient(x.values[0]), rtol=1e-4)
    assert found.lengths.tolist() == [3, 0]


def test_the_text_of_a_length_is_its_name():
    texts = []
    jm.vmap(lambda x: texts.append(f"{x.shape[0]}") or x.sum() * (2 if isinstance(x.shape[0], int) else 1))(batch())
    assert set(texts) == {"t"}
