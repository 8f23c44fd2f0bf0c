#!/usr/bin/env bash
# keras 3.15.1 (jax 0.10.2): MultiHeadAttention takes the mask off the tensors that it is called with.
#
# `y = attention(h, h)` uses the mask of `h`, gives it to `y`, and leaves `h` without one. A residual connection,
# `add([h, y])`, then finds a tensor with a mask and one without, drops the mask, and pooling behind it counts padding. So
# an encoder block in a subclassed model depends on the padding, in silence, while the same layers in a functional model,
# which gives the masks of its graph to each layer anew, do not. Attention, AdditiveAttention, GroupQueryAttention, Dense
# and Add leave the mask of their inputs as it was.
#
# Guess before running: a layer only reads the masks of its inputs, so both models give the same numbers.
#
# Output seen (Python 3.11, CPU):
#   mask of h before: [[True, True, False]]
#   mask of h after attention(h, h): None
#   mask of add([h, y]): None
#   functional model, a padded row equals the row alone: True
#   subclassed model, a padded row equals the row alone: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "keras==3.15.1" "jax==0.10.2" "jaxlib==0.10.2"
cat >"$folder/block.py" <<'PY'
import keras
import numpy as np

keras.utils.set_random_seed(0)
layers = keras.layers
embedding = layers.Embedding(9, 4, mask_zero=True)
attention, add, pool = layers.MultiHeadAttention(2, 2), layers.Add(), layers.GlobalAveragePooling1D()


def mask(x):
    found = getattr(x, "_keras_mask", None)
    return None if found is None else np.asarray(found).tolist()


class Block(keras.Model):
    def call(self, ids):
        h = embedding(ids)
        return pool(add([h, attention(h, h)]))


def is_exact(model):
    padded, alone = model(np.array([[3, 4, 0]])), model(np.array([[3, 4]]))
    return bool(np.allclose(padded, alone, atol=1e-6))


h = embedding(np.array([[3, 4, 0]]))
print("mask of h before:", mask(h))
y = attention(h, h)
print("mask of h after attention(h, h):", mask(h))
print("mask of add([h, y]):", mask(add([h, y])))
ids = keras.Input((None,), dtype="int32")
h = embedding(ids)
print("functional model, a padded row equals the row alone:", is_exact(keras.Model(ids, pool(add([h, attention(h, h)])))))
print("subclassed model, a padded row equals the row alone:", is_exact(Block()))
PY
found=$(KERAS_BACKEND=jax KERAS_HOME="$folder" "$folder/venv/bin/python" -W ignore "$folder/block.py" 2>/dev/null)
expected="mask of h before: [[True, True, False]]
mask of h after attention(h, h): None
mask of add([h, y]): None
functional model, a padded row equals the row alone: True
subclassed model, a padded row equals the row alone: False"
echo "$found"
[[ $found == "$expected" ]] || { echo "this has changed" >&2 && exit 1; }
