"""Runs the README's first example with the jmask that is installed: `python -I .ci/first_example.py`, from anywhere."""

import contextlib
import io
import re
from pathlib import Path

import jmask

ROOT = Path(__file__).parents[1]

if ROOT in Path(jmask.__file__).parents:
    raise SystemExit(f"this jmask is that of the folder, {jmask.__file__}; install the wheel")
example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]
with contextlib.redirect_stdout(io.StringIO()) as printed:
    exec(example)
shown = "".join(f"# {line}\n" for line in printed.getvalue().splitlines())
if not shown or shown not in example:
    raise SystemExit(f"the README shows something else than\n{shown}")
print(f"the first example runs with jmask {jmask.__version__}, from the wheel alone")
