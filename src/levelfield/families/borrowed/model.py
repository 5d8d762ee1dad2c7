"""The borrowed network: timm's body up to its pooled features, and our linear head."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor, nn

from levelfield.families.borrowed.spec import FAMILY, BorrowedSpec
from levelfield.families.noise import DropSite, KeyedNoise
from levelfield.families.pixels import handed
from levelfield.families.tensors import unknown_statistics
from levelfield.records.errors import SpecError, did_you_mean, first_line, lacks_memory

HEAD_STD = 0.02


class BorrowedNetwork(nn.Module):
    """Images (batch, channels, height, width) to logits (batch, num_outputs); ``dropout`` comes before the head.

    The head's kernel begins normal with deviation 0.02 and its bias at zero, whatever timm does for this network: its
    own choices (zeros, small scales) belong to recipes that are not used here. ``img_size`` is the resolution of a body
    that must be told it.
    """

    def __init__(
        self,
        spec: BorrowedSpec,
        body: nn.Module,
        *,
        num_features: int,
        num_outputs: int,
        dropout: float,
        img_size: int | None,
    ):
        super().__init__()
        self.spec, self.num_features, self.img_size, self.noise = spec, num_features, img_size, KeyedNoise()
        self.body = draw_by_key(body, self.noise)
        self.drop_features = DropSite(self.noise, dropout)
        self.head = nn.Linear(num_features, num_outputs)
        nn.init.normal_(self.head.weight, std=HEAD_STD)
        nn.init.zeros_(self.head.bias)

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (batch, num_features), timm's norms and hidden layers before its classifier included."""
        return self.body(images)

    def feature_map(self, images: Tensor) -> Tensor:
        """The last map before timm's pooling (batch, num_features, side, side)."""
        return self.body.forward_features(images)  # pyright: ignore[reportCallIssue]

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.drop_features(handed(self, images), self.head.training))


class _DropPath(nn.Module):
    """timm's ``DropPath``, by key."""

    def __init__(self, noise: KeyedNoise, rate: float, *, rescaled: bool) -> None:
        super().__init__()
        self.site = DropSite(noise, rate, whole=True, rescaled=rescaled)

    def forward(self, x: Tensor) -> Tensor:
        return self.site(x, self.training)


def draw_by_key(body: nn.Module, noise: KeyedNoise) -> nn.Module:
    """``body`` with its dropped branches drawn from ``noise``, and without any dropout of its own: that of a network is
    before its head, and the recipe's."""
    from timm.layers import DropPath

    for module in list(body.modules()):
        for name, child in module.named_children():
            if isinstance(child, DropPath):
                setattr(module, name, _DropPath(noise, child.drop_prob, rescaled=child.scale_by_keep))
            elif isinstance(child, nn.modules.dropout._DropoutNd):
                child.p = 0.0
        if isinstance(getattr(module, "drop_rate", None), float):
            setattr(module, "drop_rate", 0.0)  # noqa: B010 - a number, which module's annotations know nothing of
    return body


def build(
    spec: BorrowedSpec,
    *,
    num_outputs: int,
    resolution: int,
    in_channels: int = 3,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> BorrowedNetwork:
    """The network, initialised by timm from torch's default generator.

    Raises:
        SpecError: timm is not installed, has no such network, or cannot build it so; or it has statistics of the batch
            that are not BatchNorm's.
    """
    timm = _timm()
    if not timm.is_model(spec.name):
        raise SpecError(f"timm has no {spec.name!r}{did_you_mean(spec.name, timm.list_models())}")
    options: dict[str, Any] = {**spec.arguments, "num_classes": 0, "in_chans": in_channels}
    if stochastic_depth:
        options["drop_path_rate"] = stochastic_depth
    body, img_size = _created(timm, spec, options, resolution)
    if unknown := unknown_statistics(body):
        raise SpecError(
            f"{spec.text} normalises by statistics of the batch in another way than BatchNorm ({unknown[0]} and "
            f"{len(unknown) - 1} more), which nothing here can estimate: take a relative with BatchNorm or LayerNorm"
        )
    # What hidden layers before timm's classifier put out, where there are some: wider than num_features in MambaOut.
    num_features: Any = getattr(body, "head_hidden_size", None) or body.num_features
    return BorrowedNetwork(
        spec, body, num_features=num_features, num_outputs=num_outputs, dropout=dropout, img_size=img_size
    )


def _created(timm: Any, spec: BorrowedSpec, options: dict[str, Any], resolution: int) -> tuple[nn.Module, int | None]:
    """The body, and the resolution if it took it: bodies with positions must be told it, others do not know it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # timm warns of its own deprecations
            try:
                return timm.create_model(spec.name, **options, img_size=resolution), resolution
            except TypeError as error:
                if "img_size" not in str(error):
                    raise
                return timm.create_model(spec.name, **options), None
    except Exception as error:  # whatever a constructor of timm's raises of arguments that it cannot take
        if lacks_memory(error):
            raise
        raise SpecError(
            f"timm cannot build {spec.text} for {resolution} px: {type(error).__name__}: {first_line(error)}"
        ) from None


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise SpecError(f"{FAMILY}:… needs timm: pip install 'levelfield[timm]'") from None
    return timm
