"""The program of `docs/journey.md`: it is short, it learns, and when it is run again it goes on to the same bytes."""

import re
from pathlib import Path
from typing import Any

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jmask import train

pytestmark = pytest.mark.extras

PAGE = Path(__file__).parents[2] / "docs" / "journey.md"
DATA, PROGRAM = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
MOST_LINES = 35
CACHE = {"jax_compilation_cache_dir": "programs", "jax_persistent_cache_min_compile_time_secs": 0.1}


def run(program: str, folder: Path, monkeypatch: Any) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    namespace: dict[str, Any] = {"__name__": "journey"}
    exec(compile(program, str(PAGE), "exec"), namespace)
    return namespace


def test_the_program_is_as_short_as_the_page_says():
    lines = sum(bool(line.strip()) for line in PROGRAM.splitlines())
    assert lines <= MOST_LINES
    assert f"\n{lines} lines." in PAGE.read_text(encoding="utf-8")


@pytest.fixture
def compiled_once(tmp_path):
    """JAX's cache of compiled programs, since the program runs several times."""
    before = {name: getattr(jax.config, name) for name in CACHE}
    for name, value in CACHE.items():
        jax.config.update(name, str(tmp_path / value) if isinstance(value, str) else value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_the_program_learns_and_resumes_to_the_same_bytes(tmp_path, monkeypatch, compiled_once):
    pytest.importorskip("pyarrow.parquet")
    parameters = []
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        run(DATA, tmp_path / name, monkeypatch)
        if name == "killed":
            with monkeypatch.context() as patch:
                patch.setattr(train.Run, "log", killed_at(train.Run.log, 100))
                with pytest.raises(RuntimeError, match="killed"):
                    run(PROGRAM, tmp_path / name, monkeypatch)
        namespace = run(PROGRAM, tmp_path / name, monkeypatch)
        (file,) = (tmp_path / name / "model").glob("arrays-*.safetensors")
        parameters.append(file.read_bytes())
        scores = [namespace["score"](namespace["params"], batch) for batch in namespace["held_out"]]
        assert float(sum(scores[1:], scores[0]).value) > 0.9
    assert parameters[0] == parameters[1]


def killed_at(log, step):
    counted = iter(range(1, step + 1))

    def log_until(self, sums, state=None):
        if next(counted) == step:
            raise RuntimeError("killed")
        log(self, sums, state)

    return log_until
