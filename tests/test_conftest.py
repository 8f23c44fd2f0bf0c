"""The fixtures and the signature checks do what `conftest.py` says, or the other tests check less than they seem to."""

import os
import types
import zlib

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float, TypeCheckError, jaxtyped

import jmask as jm
from tests.conftest import pytest_terminal_summary
from tests.support.signatures import check_signature


@jaxtyped(typechecker=check_signature)
def second_half(x: Float[Array, "batch time"], *, scale: float = 1.0) -> Float[Array, " batch"]:
    if x.ndim != 2:
        raise ValueError("`x` must have rank 2.")
    return x[:, 0] if scale == 1.0 else x[0, :]


def test_a_result_against_its_annotation_is_found():
    second_half(jnp.ones((2, 3)))
    with pytest.raises(TypeCheckError, match="return value"):
        second_half(jnp.ones((2, 3)), scale=2.0)


def test_a_wrong_argument_meets_the_functions_own_error_first():
    with pytest.raises(ValueError, match="must have rank 2"):
        second_half(jnp.ones(3))


def test_a_wrong_argument_that_is_accepted_is_found():
    with pytest.raises(TypeCheckError):
        second_half(jnp.ones((2, 3), int))


@pytest.mark.skipif(os.environ.get("JMASK_TESTS_CHECK_SIGNATURES") == "0", reason="the run does without")
def test_signatures_of_jmask_are_checked():
    with pytest.raises(TypeCheckError):
        jm.strict(enabled="yes")


def test_there_are_eight_devices():
    assert len(jax.devices("cpu")) == 8


def test_keys_and_numbers_differ_from_call_to_call(getkey, rng):
    assert (jax.random.key_data(getkey()) != jax.random.key_data(getkey())).any()
    assert rng.normal() != rng.normal()


def test_keys_are_seeded_by_the_name_of_the_test(getkey):
    seed = zlib.crc32(b"test_keys_are_seeded_by_the_name_of_the_test")
    assert getkey() == jax.random.fold_in(jax.random.key(seed), 0)


def test_x64_is_for_the_length_of_a_test(x64):
    assert jnp.ones(3).dtype == jnp.float64


@pytest.mark.parametrize(("expression", "has_slow"), [("not slow", True), ("slow", False), ("", False)])
def test_what_was_left_out_is_told_and_how_to_run_it(expression, has_slow):
    reasons = [
        "Skipped: could not import 'polars': No module named 'polars'",
        "Skipped: Keras is not installed",
        "other",
    ]
    skipped = [types.SimpleNamespace(longrepr=("file.py", 1, reason)) for reason in reasons]
    lines = []
    reporter = types.SimpleNamespace(stats={"skipped": skipped}, write_line=lambda text, **_: lines.append(text))
    config = types.SimpleNamespace(option=types.SimpleNamespace(markexpr=expression))
    list(pytest_terminal_summary(reporter, pytest.ExitCode.OK, config))
    assert lines[0].startswith("2 tests need packages that are not installed: `pip install -e")
    assert "pytest -m extras`" in lines[0]
    assert ["`pytest -m slow` runs them" in line for line in lines[1:]] == [True] * has_slow
