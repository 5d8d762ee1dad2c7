"""Texts as whole numbers: by open_clip's tokenizer, which its wheel brings, or as the bytes of UTF-8.

Every text begins with a start and ends with the number that is highest of all, cut to fit; what is left over is 0.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.records.errors import SpecError

Tokens: TypeAlias = NDArray[np.int32]

CLIP_VOCABULARY = 49408
_BYTES = 256


class Tokenizer(Protocol):
    """Texts to int32 [texts, context], every number below ``vocabulary``."""

    @property
    def vocabulary(self) -> int: ...

    def __call__(self, texts: Sequence[str], context: int) -> Tokens: ...


class ByteTokens:
    """Bytes from 1 on, then the start and the end."""

    vocabulary = 1 + _BYTES + 2

    def __call__(self, texts: Sequence[str], context: int) -> Tokens:
        found = np.zeros((len(texts), context), dtype=np.int32)
        for row, text in zip(found, texts, strict=True):
            own = np.frombuffer(text.encode()[: context - 2], dtype=np.uint8)
            row[0], row[1 : 1 + len(own)], row[1 + len(own)] = 1 + _BYTES, 1 + own.astype(np.int32), 2 + _BYTES
        return found


class ClipTokens:
    """open_clip's ``SimpleTokenizer``: byte pairs of lower-case text. It is loaded when it is first called."""

    vocabulary = CLIP_VOCABULARY

    def __call__(self, texts: Sequence[str], context: int) -> Tokens:
        return _clip().tokenize(list(texts), context_length=context).numpy().astype(np.int32)


class SeenTokens:
    """``tokenizer``, of whose numbers those are kept that ``seen`` texts have: 1 stands for all others.

    Kept numbers keep their order, so the end stays the highest of all.
    """

    def __init__(self, tokenizer: Tokenizer, seen: Tokens) -> None:
        self._tokenizer = tokenizer
        known = np.unique(seen)
        known = known[known > 0]
        self._places = np.ones(tokenizer.vocabulary, dtype=np.int32)
        self._places[0] = 0
        self._places[known] = np.arange(2, 2 + len(known))
        self.vocabulary = 2 + len(known)

    def __call__(self, texts: Sequence[str], context: int) -> Tokens:
        found = self._tokenizer(texts, context)
        padded = np.cumsum(found[:, ::-1], axis=1)[:, ::-1] == 0  # 0 is also a token of open_clip's, inside of a text
        return np.where(padded, 0, np.where(found == 0, 1, self._places[found])).astype(np.int32)


@functools.cache
def _clip() -> ModuleType:
    """open_clip's tokenizer alone: its package would load 144 model configurations, timm and torchvision, for seconds.

    Raises:
        SpecError: it is not installed.
    """
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        raise SpecError("tokenizer 'clip' is open_clip's: pip install 'levelfield[clip]', or say tokenizer = 'bytes'")
    name = "levelfield_open_clip_tokenizer"
    spec = importlib.util.spec_from_file_location(name, Path(package.origin).with_name("tokenizer.py"))
    if spec is None or spec.loader is None:
        raise SpecError("open_clip is installed without its tokenizer: pip install 'levelfield[clip]' again")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise SpecError(f"open_clip's tokenizer needs {error.name}: pip install 'levelfield[clip]'") from None
    return module
