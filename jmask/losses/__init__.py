"""Losses: one number for each step, summed over the real steps of all sequences and divided once."""

from ..core.public_names import listing as _listing
from ..core.signatures import shorten_signatures as _shorten_signatures
from .accumulator import Mean as Mean
from .activity_penalties import penalties as penalties
from .classification import hinge_loss as hinge_loss
from .classification import kl_divergence as kl_divergence
from .classification import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from .classification import softmax_cross_entropy as softmax_cross_entropy
from .classification import softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels
from .crf import crf_negative_log_likelihood as crf_negative_log_likelihood
from .ctc import ctc_loss as ctc_loss
from .regression import absolute_error as absolute_error
from .regression import cosine_distance as cosine_distance
from .regression import huber_loss as huber_loss
from .regression import log_cosh as log_cosh
from .regression import squared_error as squared_error
from .wrapping import masked_loss as masked_loss

_shorten_signatures(globals())
__dir__ = _listing(globals())
