"""The base of layers that take `Masked`: most of them hand it to a function of `jmask.ops` or `jmask.rnn`."""


class BaseMaskedLayer(BaseMaskedLayer):
    """A layer whose `call` takes `Masked` as it is, and answers for the masks of its outputs and for packed rows."""
