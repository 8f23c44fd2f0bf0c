"""What every test gets: eight CPU devices, checked signatures, and random numbers seeded by the test's name."""

import gc
import itertools
import os
import zlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

# jax reads all of this when it is imported, so it comes before the imports below.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "")
if "xla_force_host_platform_device_count" not in os.environ["XLA_FLAGS"]:
    os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=8"
if "xla_backend" not in os.environ["XLA_FLAGS"]:
    # Most of the time goes to the compiler, which is several times as fast like this. Random models beside Keras
    # compile as users do in `.ci/run`.
    os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
    if int(version("jaxlib").split(".")[1]) < 11:  # which newer ones do not know
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import settings

from tests.support.signatures import check_signature

gc.set_threshold(100_000, 50, 100)  # tracing makes many objects and few cycles: a tenth of the time was the collector's

if os.environ.get("JMASK_TESTS_CHECK_SIGNATURES") != "0":  # a tenth of the time, which `.ci/run` spends in one set
    jaxtyping.install_import_hook("jmask", f"{check_signature.__module__}.{check_signature.__name__}")

# The same examples in each run, and no time limit for one: the first may have to compile.
settings.register_profile("jmask", deadline=None, derandomize=True, database=None)
settings.load_profile("jmask")


collect_ignore_glob = ["typing/*", "support/*_of_many.py"]  # which pyright reads; which other tests start


@pytest.fixture
def getkey(request: pytest.FixtureRequest) -> Callable[[], jax.Array]:
    """A function that gives another `jax.random` key at each call, the same ones in each run of the test."""
    key, calls = jax.random.key(_seed(request)), itertools.count()
    return lambda: jax.random.fold_in(key, next(calls))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A NumPy generator, the same in each run of the test."""
    return np.random.default_rng(_seed(request))


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    """Sequences of 4, 0 and 5 steps of four features, with NaN in the padding."""
    import jmask as jm  # here, for the process that only hands out tests needs none

    values = rng.normal(size=(3, 5, 4)).astype("float32")
    values[0, 4:], values[1] = np.nan, np.nan
    return jm.from_lengths(jnp.asarray(values), [4, 0, 5])


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for the length of a test, in every version of jax."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def _seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(request.node.name.encode())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", help="i/n: only every n-th test, by name, beginning with the i-th")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects what `--part` leaves out; a run with other packages has it."""
    if not config.getoption("part"):
        return
    part, parts = map(int, config.getoption("part").split("/"))
    kept = [item for item in items if zlib.crc32(item.nodeid.encode()) % parts == part - 1]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Collects garbage once; pytest goes over all objects five times at its end, which takes a second each."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)  # behind the list of what was skipped, which is long
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> Iterator[None]:
    """Says what was left out, which may be why nothing has run, and how to run it."""
    yield
    reasons = [report.longrepr[-1] for report in terminalreporter.stats.get("skipped", ())]
    if missing := sum("could not import" in reason or "not installed" in reason for reason in reasons):
        install, run = 'pip install -e ".[tests,keras,formats]"', "KERAS_BACKEND=jax pytest -m extras"
        tests = "1 test needs" if missing == 1 else f"{missing} tests need"
        terminalreporter.write_line(f"{tests} packages that are not installed: `{install}`, then `{run}`.")
    if config.option.markexpr == "not slow":
        nothing = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
        text = 'Slow tests are left out by default: `pytest -m slow` runs them, and `pytest -m ""` runs all.'
        terminalreporter.write_line(text, yellow=nothing)
