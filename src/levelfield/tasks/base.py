"""What is learnt: the seam between data, a backbone and the loop. Importing a task needs no torch, using it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from levelfield.data.transforms import fed
from levelfield.records.errors import SpecError
from levelfield.records.fields import FieldFacts
from levelfield.records.head import Head
from levelfield.records.measure import Measure
from levelfield.records.trial import RecipeSpec

if TYPE_CHECKING:
    from torch import Tensor

Fields: TypeAlias = "Mapping[str, Tensor]"
"""A batch by field, examples along the first axis."""


class Task(Protocol):
    """What a network is to learn, and how it is judged. It keeps nothing: everything it needs is given to it.

    ``fields`` are those that a source must yield, the one that the network takes first. ``additive`` says whether the
    loss of a batch is the sum of what each example adds: then a batch may be cut into parts and spread over ranks,
    where each divides by the weight of the whole.
    """

    @property
    def fields(self) -> tuple[str, ...]: ...

    @property
    def additive(self) -> bool: ...

    def head(self, known: FieldFacts) -> Head:
        """What stands on the backbone, for data of which that is known."""
        ...

    def measures(self, known: FieldFacts) -> tuple[Measure, ...]:
        """What :meth:`scores` are; the first selects and decides."""
        ...

    def weight(self, fields: Fields, valid: Tensor) -> Tensor:
        """What the loss of a batch is divided by, a scalar: its whole examples ``valid`` [B], or their pixels."""
        ...

    def loss(self, outputs: Tensor, fields: Fields, valid: Tensor, recipe: RecipeSpec) -> Tensor:
        """The loss to minimise, summed over a batch, a scalar: of ``outputs`` [B, ...]; masked examples add nothing."""
        ...

    def scores(self, outputs: Tensor, fields: Fields) -> Mapping[str, Tensor]:
        """The value of every measure for every example, [B] float32, by name."""
        ...


@runtime_checkable
class TallyingTask(Protocol):
    """A task that also measures a split as a whole, which no mean over examples is: it says what to add up of each."""

    def tallies(self, outputs: Tensor, fields: Fields) -> Tensor:
        """Whole numbers of every example, [B, ...], that add up over a split."""
        ...

    def whole(self, total: Tensor) -> Mapping[str, float]:
        """What the sum of them [...] says, by name."""
        ...


@runtime_checkable
class MixingTask(Protocol):
    """A task that can learn of an example that another one was mixed into."""

    def mixed_loss(self, outputs: Tensor, fields: Fields, valid: Tensor, recipe: RecipeSpec) -> Tensor:
        """As :meth:`Task.loss`, with the fields ``PARTNER`` and ``OWN_SHARE`` (:mod:`levelfield.records.fields`)."""
        ...


@runtime_checkable
class PairingTask(Protocol):
    """A task that asks a network about more than the image of an example."""

    def answers(self, network: Any, fields: Fields) -> Tensor:
        """What ``network`` puts out for whole examples, [B, ...], each by itself."""
        ...


@runtime_checkable
class RankingTask(Protocol):
    """A task whose scores rank an example among others, so that they are of a split and not of a batch."""

    def rankings(
        self, outputs: Tensor, fields: Fields, valid: Tensor, known: FieldFacts, classes: Tensor | None
    ) -> Mapping[str, Tensor]:
        """As :meth:`Task.scores`, of all examples of a split in its order: those that are not ``valid`` [N] are no
        candidates, and what is said of them is not looked at.

        ``fields`` are those of the split but the image. ``classes`` is what :meth:`named` gave; None where the data has
        none.
        """
        ...

    def named(self, network: Any, prompts: Tensor) -> Tensor:
        """What ``network`` makes of what classes are called, [classes, ...]: ``prompts`` [classes, ways, tokens]."""
        ...


def answers(task: Task, network: Any, fields: Fields) -> Tensor:
    """What ``network`` puts out for a batch, [B, ...]: of its images alone, unless the task asks more."""
    if isinstance(task, PairingTask):
        return task.answers(network, fields)
    return network(fed(fields[task.fields[0]]))


def refuse_missing_fields(task: Task, known: FieldFacts, *, name: str) -> None:
    """A task needs the fields that it wants.

    Raises:
        SpecError: the data yields not all of them.
    """
    missing = [field for field in task.fields if field not in known.names]
    if missing:
        raise SpecError(
            f"task {name!r} needs {', '.join(missing)} of every example; the data has {', '.join(known.names)}"
        )
