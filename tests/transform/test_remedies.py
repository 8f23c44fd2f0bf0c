"""What functions do with lengths, and that the remedies of errors work as they are printed."""

import math
import re
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.experimental.ode import odeint

import jmask as jm
from jmask.testing import assert_close

ROWS = [np.arange(1.0, n + 1, dtype=np.float32) for n in (4, 2, 1, 3)]
TABLE = jnp.arange(10.0)


def batch():
    return jm.pad_sequences(ROWS)


def check(fn, **options):
    """Against the loop over rows alone."""
    result = jm.vmap(fn, **options)(batch())
    for i, row in enumerate(ROWS):
        expected = fn(jnp.asarray(row))
        found = result[i] if not isinstance(result, jm.Masked) else result.values[i][result.mask[i]]
        assert_close(found, expected)


WORKS = {
    "position table": lambda x: x + TABLE[: x.shape[0]],
    "inverse root": lambda x: x * x.shape[0] ** -0.5,
    "inverse": lambda x: x * x.shape[0] ** -1,
    "sqrt": lambda x: x.sum() / jnp.sqrt(x.shape[0]),
    "half": lambda x: x + x.shape[0] / 2,
    "where": lambda x: jnp.where(jnp.asarray(x.shape[0]) > 2, x, -x),
    "cond": lambda x: jax.lax.cond(jnp.asarray(x.shape[0]) > 2, jnp.sum, jnp.prod, x),
    "scan": lambda x: jax.lax.scan(lambda c, i: (c + i, c), 0, jnp.arange(x.shape[0]))[0],
    "fori_loop": lambda x: jax.lax.fori_loop(0, x.shape[0], lambda i, c: c + x[i], 0.0),
}


@pytest.mark.parametrize("name", WORKS)
def test_what_works(name):
    check(WORKS[name])


REFUSED = {  # the error's remedy in place of the line
    "middle": (lambda x: x[x.shape[0] // 2], lambda x: eval("x[jnp.asarray(x.shape[0] // 2)]", {"x": x, "jnp": jnp})),
    "last": (lambda x: x[x.shape[0] - 1], lambda x: x[jnp.asarray(x.shape[0] - 1)]),
    "np.zeros": (lambda x: x + np.zeros(x.shape[0]), lambda x: x + jnp.zeros(x.shape[0])),
    "squeeze": (lambda x: jnp.squeeze(x[None]), lambda x: jnp.squeeze(x[None], 0)),
    "np.arange": (lambda x: x + np.arange(x.shape[0]), lambda x: x + jnp.arange(x.shape[0])),
    "range": (lambda x: sum(x[i] for i in range(x.shape[0])), None),
    "float": (lambda x: x / float(x.shape[0]), lambda x: x / jnp.asarray(x.shape[0], float)),
    "math": (lambda x: x / math.sqrt(x.shape[0]), lambda x: x / jnp.sqrt(x.shape[0])),
    "np.sqrt": (lambda x: x / np.sqrt(x.shape[0]), lambda x: x / jnp.sqrt(x.shape[0])),
    "if": (lambda x: x if x.shape[0] > 3 else -x, lambda x: jnp.where(jnp.asarray(x.shape[0]) > 3, x, -x)),
    "scan length": (
        lambda x: jax.lax.scan(lambda c, _: (c + 1, None), 0, None, length=x.shape[0])[0],
        lambda x: jax.lax.scan(lambda c, _: (c + 1, None), 0, jnp.arange(x.shape[0]))[0],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_has_a_remedy(name):
    fn, remedy = REFUSED[name]
    if name in ("middle", "last") and jax.__version_info__ < (0, 8):  # where JAX takes such an index
        check(fn)
        return
    with pytest.raises(jm.SymbolicLengthError, match=r"(?s)test_remedies\.py.*Remedies: ") as info:
        jm.vmap(fn)(batch())
    for text in re.findall(r"`([^`]*)`", str(info.value).partition("Remedies:")[2]):
        run_as_printed(text)
    if remedy is not None:
        check(remedy)


def run_as_printed(text):
    """Runs a remedy that is an expression in `x`, within a function of one sequence or around one."""
    is_bad = text.startswith(("np.", "math.", "range(", "length=", "len(", "int(", "x[x.shape", "if", "table[", "hk."))
    if is_bad or not text.isprintable() or "core" in text or "(" not in text + "[":
        return
    names = {"jnp": jnp, "jax": jax, "jm": jm, "a": 1.0, "b": 2.0, "start": 0.0, "fn": lambda x: x.sum()}

    def one(x):
        takes = {"f": lambda *_: (0.0, None) if "scan" in text else 0.0, "g": lambda *_: 0.0, "body": lambda i, c: c}
        if "fori_loop" in text:
            takes["f"] = lambda i, c: c
        return jnp.sum(jax.tree.leaves(eval(text, names | takes | {"x": x}))[0])

    if text.startswith("jm.vmap("):
        eval(text, names)(batch())
    else:
        jm.vmap(one)(batch())


@pytest.mark.parametrize(
    "fn",
    [lambda x: jnp.arange(x.shape[0] + 1.0), lambda x: x if x.sum() > 0 else -x, lambda x: x * int(x.shape[0] / 2)],
)
def test_what_is_an_array_in_the_trace_is_explained(fn):
    with pytest.raises(TypeError) as info:
        jm.vmap(fn)(batch())
    assert any("`jm.vmap` traces the function, as `jax.jit` does" in note for note in info.value.__notes__)
    check(lambda x: jnp.arange(x.shape[0] + 1))


def test_other_errors_stay_as_they_are():
    with pytest.raises(TypeError, match="string indexing"):
        jm.vmap(lambda x: x["t"])(batch())


@pytest.mark.parametrize(
    ("fn", "least"),
    [(lambda x: jnp.diff(x, n=2), 2), (lambda x: x[3:] - x[:-3], 3), (lambda x: x[:2] + jnp.ones(2), 2)],
)
def test_a_smallest_length_is_advised(fn, least):
    with pytest.raises(jm.SymbolicLengthError) as info:
        jm.vmap(fn)(batch())
    (note,) = (note for note in info.value.__notes__ if "jm.vmap" in note)
    (advice,) = re.findall(r"`jm\.vmap\(fn, (constraints=.*)\)`", note)
    assert advice == f"constraints=['t >= {least}']"
    result = jm.vmap(fn, constraints=[f"t >= {least}"])(batch())
    for i, row in enumerate(ROWS):
        expected = fn(jnp.asarray(row)) if len(row) >= least else jnp.zeros(2 * (not isinstance(result, jm.Masked)))
        assert_close(result.values[i][result.mask[i]] if isinstance(result, jm.Masked) else result[i], expected)


def test_a_table_that_is_too_short():
    fn = lambda x: x + TABLE[:3][: x.shape[0]]  # noqa: E731
    with pytest.raises(jm.SymbolicLengthError, match=r"min\(3, t\)(.|\n)*Lengthen it, or say `jm.vmap\(fn, constr"):
        jm.vmap(fn)(batch())
    result = jm.vmap(fn, constraints=["t <= 3"])(batch())
    assert result.lengths.tolist() == [0, 2, 1, 3]
    assert_close(result.fill(0)[3], [1, 3, 5, 0])


def test_constraints_that_fix_a_length():
    for rule in ("t == 2", "2 == t"):
        result = jm.vmap(lambda x: x * jnp.arange(2.0), constraints=[rule])(batch())
        assert_close(result, [[0, 0], [0, 2], [0, 0], [0, 0]])
    assert_close(jm.vmap(lambda x: x.sum(), constraints=["t == 6"])(batch()), np.zeros(4))
    pairs = jm.vmap(lambda x, y: x @ y, lengths=("t", "s"), constraints=["t == s"])(
        batch(), jm.pad_sequences(ROWS[::-1])
    )
    assert_close(pairs, np.zeros(4))
    half = jm.pad_sequences([[1.0, 1.0], [2.0], [3.0], [4.0]])
    double = jm.vmap(lambda x, y: x @ jnp.repeat(y, 2), lengths=("t", "s"), constraints=["t == 2*s"])(batch(), half)
    assert_close(double, [10, 6, 0, 0])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("s >= 3", r"about a length 's' that this call does not have; it has 't'"),
        ("t >=", r"compares two sizes by `>=`, `<=` or `==`, e.g. 't >= 3' .* received 't >='"),
        ("t > 3", "compares two sizes"),
        ("t == 2*t + 0.5", "cannot use|compares two sizes"),
    ],
)
def test_constraints_that_are_none(rule, message):
    with pytest.raises(ValueError, match=message):
        jm.vmap(jnp.sum, constraints=[rule])(batch())


def test_compile_time_evaluation():
    with jax.ensure_compile_time_eval():
        assert_close(jm.vmap(jnp.sum)(batch()), [10, 3, 1, 6])
        with pytest.raises(jm.SymbolicLengthError, match=r"outside of `jax.ensure_compile_time_eval"):
            jm.vmap(lambda x: x.sum() / x.shape[0])(batch())


@pytest.mark.parametrize(
    ("flag", "value"), [("jax_numpy_rank_promotion", "raise"), ("jax_enable_checks", True), ("jax_debug_nans", True)]
)
def test_flags(flag, value):
    old = getattr(jax.config, flag)
    x = batch()
    holes = jm.masked(jnp.where(x.mask, x.values, jnp.nan)[:, ::-1], x.mask[:, ::-1])
    jax.config.update(flag, value)
    try:
        result = jm.vmap(lambda x, y: (x.sum() + y.sum(), x - x.mean()))(x, holes)
        slopes = jax.grad(lambda v: jm.vmap(lambda x: jax.nn.logsumexp(x))(holes.with_values(v)).sum())(holes.values)
    finally:
        jax.config.update(flag, old)
    assert_close(result[0], [20, 6, 2, 12])
    assert_close(slopes.sum(), 4)


def test_export_with_symbolic_batch_and_time():
    size, time = export.symbolic_shape("b, n")
    specs = [jax.ShapeDtypeStruct((size, time), dtype) for dtype in (jnp.float32, jnp.bool_)]

    def run(values, mask):
        return jm.vmap(lambda x: x.sum() / x.shape[0])(jm.Masked(values, mask))

    x = batch()
    assert_close(export.export(jax.jit(run))(*specs).call(x.values, x.mask), [2.5, 1.5, 1, 2])


def test_threads_trace_at_once():
    class Mystery(jm.Layer):
        def call(self, params, inputs):
            return inputs.sum()

    documents, found = jm.masked(jnp.ones((2, 3, 4)), np.ones((2, 3, 4), bool)), {}
    start = threading.Barrier(2)

    def run(name, is_strict):
        start.wait()
        try:
            with jm.strict(is_strict):
                jm.vmap(lambda document: Mystery()(document) * 2)(documents)
            found[name] = "warned"
        except jm.MaskDroppedError:
            found[name] = "raised"
        except jm.MaskDroppedWarning:  # warnings are errors in tests
            found[name] = "warned"

    threads = [threading.Thread(target=run, args=arguments) for arguments in (("a", True), ("b", False))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"a": "raised", "b": "warned"}


@pytest.mark.slow
def test_a_derivative_that_asks_for_a_length():
    def solve(k, times):
        return odeint(lambda y, t, k: -k * y, 1.0, times, k)[-1]

    x = batch()
    expected = np.exp(-0.1 * (np.array([4, 2, 1, 3]) - 1))
    assert_close(jm.vmap(lambda times: solve(0.1, times))(x), expected, precision="float16")
    with pytest.raises(jm.SymbolicLengthError, match=r"ode\.py:\d+, in (.|\n)*Remedies"):
        jax.grad(lambda k: jm.vmap(lambda times: solve(k, times))(x).sum())(0.1)
