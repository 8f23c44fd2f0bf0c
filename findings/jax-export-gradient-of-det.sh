#!/usr/bin/env bash
# jax 0.10.2: a program exported with a symbolic size can be wrong in silence at one size. The gradient of
# `jnp.linalg.det` asks in Python whether the matrix is 1 x 1; with `jax.export` and a symbolic `n` that question is
# answered once, with no, and the branch of larger matrices is exported for all sizes. The exported gradient is right for
# 2 x 2 and 3 x 3, and for 1 x 1 it gives the entry itself (here 3.0) where the derivative of det([[a]]) = a is 1.
# Guess before the run: an error while tracing, as for `<`, or the right number.
# Seen: "0.10.2 [[3.0]] [[1.0]] True" (exported, plain jit, equal at 3 x 3).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "jax==0.10.2" "jaxlib==0.10.2" "flatbuffers==25.12.19"
cat >"$work/run.py" <<'PY'
import jax
import jax.numpy as jnp
import numpy as np
from jax import export

(n,) = export.symbolic_shape("n")
gradient = jax.jit(jax.grad(jnp.linalg.det))
exported = export.export(gradient)(jax.ShapeDtypeStruct((n, n), jnp.float32))
one = np.full((1, 1), 3.0, np.float32)
three = np.eye(3, dtype=np.float32) * 2 + np.arange(9, dtype=np.float32).reshape(3, 3) / 10
alike = np.allclose(exported.call(three), gradient(three), rtol=1e-5)
print(jax.__version__, np.asarray(exported.call(one)).tolist(), np.asarray(gradient(one)).tolist(), alike)
PY
found=$(JAX_PLATFORMS=cpu "$work/venv/bin/python" "$work/run.py")
echo "$found"
[[ $found == "0.10.2 [[3.0]] [[1.0]] True" ]]
