"""Recurrent networks over masked sequences: cells, and the scan that runs them."""

from .cells import Cell as Cell
from .cells import LSTMParams as LSTMParams
from .cells import LSTMState as LSTMState
from .cells import lstm_step as lstm_step
from .scan import lstm as lstm
from .scan import scan as scan
