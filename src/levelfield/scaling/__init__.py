"""What the trials say: laws, optima, predictions and fair comparisons. NumPy and SciPy only; fits anyone's points.

In a notebook, ``from levelfield import scaling``: its :func:`fit`, :func:`predict` and :func:`compare` take a table of
runs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levelfield.scaling.face import ComparedFamilies, FittedLaws, Predictions, compare, fit, predict

__all__ = ["ComparedFamilies", "FittedLaws", "Predictions", "compare", "fit", "predict"]


def __getattr__(name: str) -> Any:
    """What the face holds, loaded when it is asked for: a reader of one record waits for no room of statistics."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from levelfield.scaling import face

    return getattr(face, name)


def __dir__() -> list[str]:
    return __all__
