"""What a borrowed network is: timm's name for it and the arguments it is built with.

timm's configurations are code, so layers and parameters are known only by building them, on the meta device; that is
done when they are first asked for, and needs timm (``pip install 'levelfield[timm]'``).
"""

from __future__ import annotations

import re

from levelfield.families import grammar
from levelfield.records.errors import SpecError
from levelfield.records.stated import stated

FAMILY = "timm"
GRAMMAR = "<timm's name>[,<argument>=<number, numbers joined by x, true or false>]*"
EXAMPLES = ("timm:convnextv2_atto", "timm:convnext_atto,depths=1x1x1x1,dims=16x32x64x128,patch_size=1")
_NAME = "[a-z][a-z0-9_]*"
_KEY = "[a-z_][a-z0-9_]*"
_NUMBER = r"(0|[1-9][0-9]*)(\.[0-9]+)?"
_VALUE = rf"true|false|{_NUMBER}(x{_NUMBER})*"

# What the trial decides: it would be said twice, and perhaps differently.
_DECIDED = {
    "num_classes": "the data decides",
    "in_chans": "the data decides",
    "img_size": "the data's resolution decides",
    "drop_rate": "the recipe's dropout decides",
    "drop_path_rate": "the recipe's stochastic_depth decides",
    "pretrained": "weights are given by `levelfield finetune`",
}

Argument = bool | int | float | tuple[int | float, ...]


@stated
class BorrowedSpec:
    """``timm.create_model(name, **arguments)``; ``options`` are the arguments as text, sorted by name.

    Raises:
        SpecError: a name or value that cannot be meant, or an argument that the trial decides.
    """

    name: str
    options: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(_NAME, self.name):
            raise SpecError(f"timm:{self.name}: expected {GRAMMAR}, a name without a tag of weights")
        for key, value in self.options:
            if key in _DECIDED:
                raise SpecError(f"timm:{self.name}: {key} is no choice here: {_DECIDED[key]}")
            if not re.fullmatch(_KEY, key) or not re.fullmatch(_VALUE, value):
                raise SpecError(f"timm:{self.name}: {key}={value!r}: expected {GRAMMAR}")
            most = grammar.DEEPEST if "depth" in key or "layers" in key else grammar.WIDEST
            if value not in ("true", "false") and max(map(float, value.split("x"))) > most:
                raise SpecError(f"timm:{self.name}: {key}={value!r}: numbers must be at most {most}")

    @property
    def family(self) -> str:
        return FAMILY

    @property
    def text(self) -> str:
        return f"{FAMILY}:{self.name}" + "".join(f",{key}={value}" for key, value in self.options)

    @property
    def arguments(self) -> dict[str, Argument]:
        """The options as timm takes them."""
        return {key: _argument(value) for key, value in self.options}


def read(text: grammar.Text) -> BorrowedSpec:
    """The spec that a text's body and options mean; whether timm has it is known when it is built.

    Raises:
        SpecError: see :class:`BorrowedSpec`.
    """
    return BorrowedSpec(name=text.body, options=tuple(sorted(text.options)))


def _argument(value: str) -> Argument:
    if value in ("true", "false"):
        return value == "true"
    numbers = [float(part) if "." in part else int(part) for part in value.split("x")]
    return tuple(numbers) if len(numbers) > 1 else numbers[0]
