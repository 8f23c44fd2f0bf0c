#!/usr/bin/env bash
# jax 0.10.2 on a CPU: `jax.nn.dot_product_attention` in float16 works when it is called, and cannot be compiled under
# `jax.jit`: "The precision 'F16_F16_F32' is not supported by dot_general on CPU". bfloat16 works in both.
# Guess before the run: both work, or both fail.
# Seen: "0.10.2 float16 eager ok, float16 jit ValueError, bfloat16 eager ok, bfloat16 jit ok".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "jax==0.10.2" "jaxlib==0.10.2"
cat >"$work/run.py" <<'PY'
import jax
import jax.numpy as jnp


def outcome(attention, dtype):
    x = jnp.ones((1, 2, 1, 4), dtype)
    try:
        attention(x, x, x).block_until_ready()
    except ValueError as error:
        assert "F16_F16_F32" in str(error), error
        return "ValueError"
    return "ok"


ways = {"eager": jax.nn.dot_product_attention, "jit": jax.jit(jax.nn.dot_product_attention)}
print(
    jax.__version__,
    ", ".join(f"{dtype} {way} {outcome(f, dtype)}" for dtype in ("float16", "bfloat16") for way, f in ways.items()),
)
PY
found=$(JAX_PLATFORMS=cpu "$work/venv/bin/python" "$work/run.py")
echo "$found"
[[ $found == "0.10.2 float16 eager ok, float16 jit ValueError, bfloat16 eager ok, bfloat16 jit ok" ]]
