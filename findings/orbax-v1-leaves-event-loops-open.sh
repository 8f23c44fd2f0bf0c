#!/usr/bin/env bash
# orbax-checkpoint 0.11.25 (jax 0.7.2): each `save_pytree` of the v1 functions leaves four event loops of asyncio open;
# `load_pytree` and `StandardCheckpointer` leave none. Python warns of them when it collects them, in whatever code runs
# then: where warnings are errors, a test that has nothing to do with orbax fails.
# Guess before the run: none is left open, as by `asyncio.run`.
# Seen: "0.11.25: StandardCheckpointer 0, save_pytree 4, load_pytree 0".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "orbax-checkpoint==0.11.25" "jax==0.7.2" "jaxlib==0.7.2" "numpy==2.1.0"
cat >"$work/run.py" <<'PY'
import gc
import pathlib
import sys
import warnings

import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.experimental import v1

folder, tree = pathlib.Path(sys.argv[1]), {"x": np.arange(3.0)}


def left_open(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        call()
        gc.collect()
    return sum("unclosed event loop" in str(each.message) for each in caught)


def by_checkpointer():
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "a", tree)
        checkpointer.wait_until_finished()
        checkpointer.restore(folder / "a", tree)


gc.collect()
counts = {
    "StandardCheckpointer": left_open(by_checkpointer),
    "save_pytree": left_open(lambda: v1.save_pytree(folder / "b", tree)),
    "load_pytree": left_open(lambda: v1.load_pytree(folder / "b", tree)),
}
print(f"{ocp.__version__}:", ", ".join(f"{name} {count}" for name, count in counts.items()))
PY
found=$("$work/venv/bin/python" "$work/run.py" "$work" 2>/dev/null)
echo "$found"
[[ $found == "0.11.25: StandardCheckpointer 0, save_pytree 4, load_pytree 0" ]]
