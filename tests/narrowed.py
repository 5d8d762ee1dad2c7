"""What a test expects to be there, in its own type."""

from typing import TypeVar

from levelfield.records.reason import Reason

Value = TypeVar("Value")
Kind = TypeVar("Kind")


def present(value: Value | Reason | None) -> Value:
    """``value``, which a test fails without: no reason why not, and not nothing."""
    assert value is not None
    assert not isinstance(value, Reason), str(value)
    return value


def of_kind(kind: type[Kind], value: object) -> Kind:
    """``value``, which a test fails on where it is no ``kind``."""
    assert isinstance(value, kind), repr(value)
    return value
