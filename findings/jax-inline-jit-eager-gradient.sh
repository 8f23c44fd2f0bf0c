#!/usr/bin/env bash
# jax 0.10.2 (and 0.7.2): `jax.jit(f, inline=True)` of a function with a `jax.custom_vjp` is not cached in an eager
# gradient. `inline` is documented as a matter of how the function stands in an outer program; yet `jax.grad` outside of
# any program runs the backward rule of an inlined function operation by operation, and a loop in it is compiled anew
# at EVERY call. Without `inline` nothing is compiled from the second call on. In jax 0.12.0 both are cached.
# Seen (programs compiled by the fourth call): "0.10.2 jit 0 inline 1", "0.12.0.1 jit 0 inline 0".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "jax==0.10.2" "jaxlib==0.10.2"
cat >"$work/run.py" <<'PY'
import jax
import jax.monitoring
import jax.numpy as jnp

compiled = 0


def listen(name, _seconds, **_):
    global compiled
    compiled += name.endswith("backend_compile_duration")


jax.monitoring.register_event_duration_secs_listener(listen)


@jax.custom_vjp
def running(x):
    return jax.lax.scan(lambda total, v: (total + v, total * v), 0.0, x)[1]


def backward(x, g):
    return (jax.lax.scan(lambda total, v: (total + v, total - v), 0.0, g, reverse=True)[1],)


running.defvjp(lambda x: (running(x), x), backward)


def compiled_by_fourth_call(f):
    global compiled
    for _ in range(4):
        compiled = 0
        jax.grad(lambda x: f(x).sum())(jnp.ones(5))
    return compiled


print(
    jax.__version__,
    "jit", compiled_by_fourth_call(jax.jit(running)),
    "inline", compiled_by_fourth_call(jax.jit(running, inline=True)),
)
PY
found=$(JAX_PLATFORMS=cpu "$work/venv/bin/python" "$work/run.py")
echo "$found"
[[ $found == "0.10.2 jit 0 inline 1" ]]
