"""The types of metric inputs, for annotations."""

from jaxtyping import Bool, Float, Integer, Num

from ..core.masked import Masked
from ..ops.linear import AnyArray

Numbers = Masked | Num[AnyArray, "..."] | Bool[AnyArray, "..."]
Floats = Masked | Float[AnyArray, "..."]
Ids = Masked | Integer[AnyArray, "..."] | Bool[AnyArray, "..."]
Weight = Numbers | None
