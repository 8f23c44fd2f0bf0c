"""jmask without its extras: what needs one says so, and the rest works."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OPTIONAL = ("flax", "grain", "matplotlib", "orbax", "treescope")

WITHOUT = f"""
import sys
for name in {OPTIONAL}:
    sys.modules[name] = None  # which Python takes for a module that is not there

import jmask as jm
from jmask.demo.cli import main as demo

def needs(extra, function):
    try:
        function()
    except ImportError as error:
        assert str(error).endswith(f'which is not installed: pip install "jmask[{{extra}}]"'), error
        assert error.name.split(".")[0] in {OPTIONAL}, error
    else:
        raise AssertionError(f"{{extra}} is not needed")

x = jm.pad_sequences([[1.0, 2.0], [3.0]])
corpus = jm.data.Ragged(x=[[1, 2], [3]])
needs("train", lambda: jm.data.batches(corpus, jm.data.padded(rows=2), seed=0))
needs("train", lambda: jm.train.Run(sys.argv[1]))
needs("plot", lambda: jm.show(x))
needs("plot", lambda: jm.data.padded(rows=2).plot(corpus))
needs("plot", lambda: jm.train.plot(sys.argv[1]))
needs("flax", lambda: jm.flax.to_linen(jm.layers.Dense(2)))
needs("flax", lambda: jm.flax.to_nnx(jm.layers.Dense(2), x, rngs=None))
assert demo([]) == 2
model = jm.Sequential([jm.Input((None,)), jm.layers.Activation("gelu")])
model.summary()
jm.draw(model).save(sys.argv[1] + "/model.svg")
print(x, jm.losses.squared_error(x, x * 2))
"""


def requirements(texts):
    return {re.match(r"[\w-]+", text)[0].lower() for text in texts}


def test_what_needs_an_extra_names_it_and_the_rest_works(tmp_path):
    """No package that only an extra brings is needed otherwise."""
    done = subprocess.run([sys.executable, "-c", WITHOUT, tmp_path], capture_output=True, text=True, cwd=tmp_path)
    assert not done.returncode, done.stderr
    assert "Masked(float32[2, 2], lengths=[2 1])" in done.stdout
    line = 'jmask: error: This needs the package grain, which is not installed: pip install "jmask[train]"'
    assert done.stderr.splitlines() == [line]


def test_the_extras_bring_what_they_are_named_for():
    extras = {name: requirements(texts) for name, texts in PROJECT["optional-dependencies"].items()}
    assert not requirements(PROJECT["dependencies"]) & {"flax", "grain", "matplotlib", "orbax-checkpoint", "treescope"}
    assert extras["train"] == {"grain", "orbax-checkpoint"}
    assert extras["plot"] == {"matplotlib"}
    assert extras["flax"] == {"flax"}


def test_extras_that_are_named_exist():
    files = [*(ROOT / "jmask").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    text = "\n".join(file.read_text("utf-8") for file in files)
    named = re.findall(r'(?:jmask|-e "\.)\[([\w,]+)\]|from_extra\("(\w+)"\)|LazyModule\("[\w.]+", "(\w+)"\)', text)
    found = {name for names in named for name in ",".join(names).split(",") if name}
    assert {"train", "plot", "flax", "keras", "demo", "tests"} <= found <= {*PROJECT["optional-dependencies"]}
