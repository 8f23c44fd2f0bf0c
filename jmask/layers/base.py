"""The base of layers that take `Masked`: most of them pass it to a function of `jmask.ops` or `jmask.rnn`."""

from ..protocol import path
from ..protocol.layer import Layer


class BaseMaskedLayer(Layer):
    """A layer whose `call` takes `Masked`, and handles the masks of its outputs and packed rows itself."""

    raw_inputs = True
    supports_packing = True


def missing_key(what: str) -> ValueError:
    """The error of a layer that draws random numbers and was given no key."""
    return ValueError(
        f"{path.current()}: {what} in training draws at random; pass a key: "
        "`model.apply(params, x, training=True, key=key)`."
    )
