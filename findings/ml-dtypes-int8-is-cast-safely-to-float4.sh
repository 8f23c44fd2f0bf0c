#!/usr/bin/env bash
# ml_dtypes 0.7.0 (numpy 2.4.6): NumPy calls a cast of int8 to a float of four, six or eight bits "safe", and promotes the
# two to the small float, so that integers are changed without a word: 17 and 127 beside a float4 become 6 and 6, beside a
# float8_e3m4 both infinity, and beside a float8_e4m3fn 16 and 128. Larger integers do lead to a larger float: int16 to
# float32, and int32 to float64, for bfloat16 too, where ml_dtypes 0.5.4 raised DTypePromotionError for int32.
#
# Guess before running: int8 beside a float that cannot hold it raises, or gives float32, as int16 does; and int32 beside
# bfloat16 raises, as it did in 0.5.4.
#
# Output seen (Python 3.11):
#   float4_e2m1fn: safe True, [6.0, 6.0, 0.0], with int32 float64
#   float8_e4m3fn: safe True, [16.0, 128.0, 0.0], with int32 float64
#   float8_e3m4: safe True, [inf, inf, 0.0], with int32 float64
#   bfloat16: safe True, [17.0, 127.0, 0.0], with int32 float64
#   0.5.4, bfloat16 with int32: DTypePromotionError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/new.py" <<'PY'
import ml_dtypes
import numpy as np

integers = np.array([17, 127], np.int8)
for name in ("float4_e2m1fn", "float8_e4m3fn", "float8_e3m4", "bfloat16"):
    dtype = getattr(ml_dtypes, name)
    safe = np.can_cast(np.int8, dtype, "safe")
    joined = np.concatenate([integers, np.zeros(1, dtype)]).tolist()
    print(f"{name}: safe {safe}, {joined}, with int32 {np.result_type(np.int32, dtype)}")
PY
cat >"$folder/old.py" <<'PY'
import ml_dtypes
import numpy as np

try:
    found = np.result_type(np.int32, ml_dtypes.bfloat16)
except TypeError as error:
    found = type(error).__name__
print(f"0.5.4, bfloat16 with int32: {found}")
PY
found=""
for pair in new:0.7.0 old:0.5.4; do
  name=${pair%%:*}
  python3 -m venv "$folder/$name"
  "$folder/$name/bin/pip" install --quiet "ml_dtypes==${pair##*:}" "numpy==2.4.6"
  found+=$("$folder/$name/bin/python" "$folder/$name.py")$'\n'
done
expected="float4_e2m1fn: safe True, [6.0, 6.0, 0.0], with int32 float64
float8_e4m3fn: safe True, [16.0, 128.0, 0.0], with int32 float64
float8_e3m4: safe True, [inf, inf, 0.0], with int32 float64
bfloat16: safe True, [17.0, 127.0, 0.0], with int32 float64
0.5.4, bfloat16 with int32: DTypePromotionError
"
printf '%s' "$found"
[[ $found == "$expected" ]] || { echo "this has changed" >&2 && exit 1; }
