"""Recurrent networks over masked sequences: the cells, a scan for any cell, and the three standard networks."""

from ..core.public_names import listing as _listing
from .cells import Cell as Cell
from .cells import GRUParams as GRUParams
from .cells import LSTMParams as LSTMParams
from .cells import LSTMState as LSTMState
from .cells import SimpleRNNParams as SimpleRNNParams
from .cells import gru_step as gru_step
from .cells import lstm_step as lstm_step
from .cells import simple_rnn_step as simple_rnn_step
from .conv_lstm import conv_lstm_step as conv_lstm_step
from .directions import bidirectional as bidirectional
from .masked_scan import scan as scan
from .recurrences import gru as gru
from .recurrences import lstm as lstm
from .recurrences import simple_rnn as simple_rnn

__dir__ = _listing(globals())
