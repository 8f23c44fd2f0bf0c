"""The table: every public function and layer, its oracle, and the few laws it skips, with the reason."""

from .attention import CASES as ATTENTION_CASES
from .batch_norm import CASES as BATCH_NORM_CASES
from .case import Case as Case
from .choosing import CASES as CHOOSING_CASES
from .conv_lstm import CASES as CONV_LSTM_CASES
from .crf import CASES as CRF_CASES
from .layers import CASES as LAYER_CASES
from .losses import CASES as LOSS_CASES
from .masked import CASES as MASKED_CASES
from .merging import CASES as MERGING_CASES
from .metrics import CASES as METRIC_CASES
from .ops import CASES as OP_CASES
from .penalties import CASES as PENALTY_CASES
from .reductions import CASES as REDUCTION_CASES
from .rnn import CASES as RNN_CASES
from .skip_padding import CASES as SKIP_PADDING_CASES
from .stepwise import CASES as STEPWISE_CASES
from .vmap import CASES as VMAP_CASES
from .windows import CASES as WINDOW_CASES

CASES = [
    *REDUCTION_CASES,
    *OP_CASES,
    *MASKED_CASES,
    *RNN_CASES,
    *LAYER_CASES,
    *ATTENTION_CASES,
    *BATCH_NORM_CASES,
    *CHOOSING_CASES,
    *CONV_LSTM_CASES,
    *CRF_CASES,
    *LOSS_CASES,
    *MERGING_CASES,
    *METRIC_CASES,
    *PENALTY_CASES,
    *STEPWISE_CASES,
    *WINDOW_CASES,
    *VMAP_CASES,
    *SKIP_PADDING_CASES,
]
