"""Levelfield: judge ConvNets and Vision Transformers at equal compute.

In a notebook, ask a table of training runs (a path, a frame of pandas or Polars, a table of Arrow, a dict of columns):

    import levelfield
    laws = levelfield.fit("runs.csv", compute="flops", loss="val_loss", family="arch")
    laws                        # each law in a line, with intervals
    laws.figure()               # loss against compute; .save("laws.png")
    laws.predict(budget=1e21)   # what a budget not yet spent should give
    levelfield.compare("runs.csv", loss="val_loss", family="arch", role="role", seed="seed")

Studies of one's own are run by the command line (``levelfield --help``), or by ``levelfield.study``. The package reads
from the bottom up: ``units`` → ``records`` → ``families | scaling`` → ``compute | data`` → ``tasks | reference`` →
``train | weights`` → ``study | report`` → ``notebook`` → ``cli``. Importing ``levelfield`` itself loads nothing heavy.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levelfield.notebook import compare, fit, predict

__version__ = "0.1.0"
__all__ = ["compare", "fit", "predict"]


def __getattr__(name: str) -> Any:
    """What the notebook has, loaded when it is asked for: ``levelfield --help`` waits for no statistics."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from levelfield import notebook

    return getattr(notebook, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
