"""What layers share that take `Masked`: most of them hand it to a function of `jmask.ops` or `jmask.rnn`."""

from ..protocol import path
from ..protocol.layer import Layer


class BaseMaskedLayer(Layer):
    """A layer whose `call` takes `Masked` as it is, and answers for the masks of its outputs and for packed rows.

    Here `supports_masking = True` sets no mask. It says that outputs at real steps do not depend on the mask, as the
    summary and `docs/layers.md` show. A `call` over time is wrapped in `protocol.row_masks.over_time`.
    """

    raw_inputs = True
    supports_packing = True


def missing_key(what: str) -> ValueError:
    """The error of a layer that draws at random and was given no key."""
    return ValueError(
        f"{path.current()}: {what} in training draws at random; pass a key: "
        "`model.apply(params, x, training=True, key=key)`."
    )
