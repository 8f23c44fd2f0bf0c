#!/usr/bin/env bash
# orbax-checkpoint 0.12.8 (jax 0.10.2): a None in the template of a restore drops the array that was saved there, silently.
#
# A checkpoint holds {"params": array, "average": array}. Restored into a template without the key "average", orbax
# raises: the structures do not match. Restored into a template whose "average" is None - a training state with averaging
# turned off has just this - it returns None and says nothing. The other way round, a None that was saved and an array
# in the template, it raises. So of three differences between a checkpoint and a template one passes, and it is the one
# that loses data: the next save overwrites the average for good.
#
# Guess before running: all three raise, since a None is part of the structure in orbax (it restores as None).
#
# Output seen (Python 3.11, CPU):
#   template without the key: ValueError
#   None in the template: {'average': None, 'params': [0.0, 1.0, 2.0]}
#   None in the checkpoint: ValueError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "orbax-checkpoint==0.12.8" "jax==0.10.2" "jaxlib==0.10.2"
cat >"$folder/restore.py" <<'PY'
import sys

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

folder = sys.argv[1]
checkpointer = ocp.StandardCheckpointer()
checkpointer.save(f"{folder}/both", {"params": jnp.arange(3.0), "average": jnp.ones(3)})
checkpointer.save(f"{folder}/none", {"params": jnp.arange(3.0), "average": None})
checkpointer.wait_until_finished()
array = jax.ShapeDtypeStruct((3,), jnp.float32)


def restored(name, template):
    try:
        found = checkpointer.restore(f"{folder}/{name}", template)
    except ValueError:
        return "ValueError"
    return str({key: None if leaf is None else leaf.tolist() for key, leaf in sorted(found.items())})


print("template without the key:", restored("both", {"params": array}))
print("None in the template:", restored("both", {"params": array, "average": None}))
print("None in the checkpoint:", restored("none", {"params": array, "average": array}))
PY
found=$("$folder/venv/bin/python" "$folder/restore.py" "$folder" 2>/dev/null)
expected="template without the key: ValueError
None in the template: {'average': None, 'params': [0.0, 1.0, 2.0]}
None in the checkpoint: ValueError"
echo "$found"
[[ $found == "$expected" ]] || { echo "this has changed" >&2 && exit 1; }
