"""The base of layers that take `Masked`: most of them hand it to a function of `jmask.ops` or `jmask.rnn`."""

from ..protocol.layer import Layer


class BaseMaskedLayer(Layer):
    """A layer whose `call` takes `Masked` as it is, and answers for the masks of its outputs and for packed rows."""

    raw_inputs = True
    supports_packing = True
