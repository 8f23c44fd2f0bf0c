"""The base of layers that take `Masked`: most of them pass it to a function of `jmask.ops` or `jmask.rnn`."""

from ..protocol import path
from ..protocol.layer import Layer


class BaseMaskedLayer(Layer):
    """A layer whose `call` takes `Masked`, and handles the masks of its outputs and packed rows itself.

    Here `supports_masking = True` sets no mask. It says that outputs at real steps do not depend on the mask, as the
    summary and `docs/layers.md` show. A `call` over time is wrapped in `protocol.row_masks.over_time`.

    Elementwise layers, such as `ReLU`, are a plain `Layer` and get arrays with zeros at padding. A layer that treats
    every step alone is of this kind where zeros are not enough: `Dense` and the norms raise if the mask covers the
    feature axis, `PReLU` if its slopes differ along masked axes. Noise follows the numbers of the real steps, and
    outside training the inputs stay as they are, where writing zeros would cost a pass over them.
    """

    raw_inputs = True
    supports_packing = True


def missing_key(what: str) -> ValueError:
    """The error of a layer that draws random numbers and was given no key."""
    return ValueError(
        f"{path.current()}: {what} in training draws at random; pass a key: "
        "`model.apply(params, x, training=True, key=key)`."
    )
