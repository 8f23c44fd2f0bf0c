"""Training: a state, a pure jitted step, and runs that restore, log and save."""

from ..core.public_names import listing as _listing
from .checkpoints import OtherRunError as OtherRunError
from .compilation import CompiledShapesWarning as CompiledShapesWarning
from .curves import plot as plot
from .fitting import fit as fit
from .precision import DynamicScale as DynamicScale
from .runs import Run as Run
from .state import State as State
from .stepping import Step as Step
from .stepping import step as step

__dir__ = _listing(globals())
