"""The weights that a trial keeps in ``weights.safetensors``: those it was judged by, averaged where its spec says so.

A header says what network they are, and of which trial and data; the trial's result holds the digest of the numbers.
Both are compared whenever they are read, so that a file of another trial is never taken for this one's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from levelfield.families.registry import parse
from levelfield.families.tensors import tensors_of
from levelfield.records.codec import from_plain, later, plain_from_json, record, to_json
from levelfield.records.difference import changed_data
from levelfield.records.errors import DamagedError, SpecError, WeightsError
from levelfield.records.files import regular_stat
from levelfield.records.head import Head, LinearHead, PixelHead, TextHead
from levelfield.records.store import TrialDirectory, TrialFiles
from levelfield.records.trial import TrialResult, TrialSpec
from levelfield.records.writing import is_there, write_atomically
from levelfield.weights.card import HEADER
from levelfield.weights.loaded import weights_digest
from levelfield.weights.timm_names import architecture_named

_AGAIN = "remove it; `levelfield finetune` and `levelfield probe` train the trial again for it"


@record
class NetworkFacts:
    """What must be known to build the network that some weights belong to, and what its outputs are called.

    ``classes`` is None where nobody has named them.
    """

    architecture: str
    resolution: int
    num_outputs: int
    in_channels: int
    classes: tuple[str, ...] | None = later(default=None)
    pixel_head: PixelHead | None = later(default=None)
    text_head: TextHead | None = later(default=None)

    @property
    def head(self) -> Head:
        """What stands on the backbone: linear where nothing else is said."""
        return self.pixel_head or self.text_head or LinearHead(num_outputs=self.num_outputs)


@record
class KeptFacts:
    """What the header of kept weights says: the network, and the fingerprints of the trial and data that made it."""

    network: NetworkFacts
    trial: str
    data: str


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptWeights:
    """What a finished trial has left: every tensor by the family's own names, and the records beside them."""

    spec: TrialSpec
    result: TrialResult
    facts: NetworkFacts
    state: dict[str, Tensor]

    @property
    def train_flops(self) -> float | None:
        """What training them had cost in all; None where nobody knows."""
        before = 0.0 if self.spec.start is None else self.result.start_flops
        return None if before is None else self.result.train_flops + before


def keep_weights(files: TrialFiles, model: nn.Module, facts: KeptFacts) -> None:
    """Write the tensors of ``model`` beside the result of its trial; equal weights give equal bytes.

    Raises:
        StoreError: the directory cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors_of(model).items()}
    write_atomically(files.weights_path, save(tensors, metadata={HEADER: to_json(facts, indent=None)}))


def weights_of_trial(path: Path) -> KeptWeights:
    """What the trial in directory ``path`` has left.

    Raises:
        WeightsError: there is no such trial, it has not finished, or it kept no weights.
        DamagedError: its files are damaged, or hold other weights than its result was got with.
    """
    directory = TrialDirectory(path)
    held = directory.held()
    if held is None or held.spec is None:
        raise WeightsError(f"{path} is no trial: expected the directory of one, with its spec.json and result.json")
    if held.result is None or held.result.status != "finished":
        state = "is not finished" if held.result is None else "diverged"
        raise WeightsError(f"trial {path.name} {state}: it has no weights to start from or to judge")
    if not is_there(directory.weights_path):
        raise WeightsError(
            f"trial {path.name} kept no weights; `levelfield finetune` and `levelfield probe` train it again for them"
        )
    facts, state = _read(directory.weights_path, held.result)
    return KeptWeights(spec=held.spec, result=held.result, facts=facts.network, state=state)


def is_trial(path: Path) -> bool:
    """Whether a trial was begun in the directory ``path``."""
    return is_there(path / "spec.json")


def refuse_other_architecture(path: Path, arch: str | None) -> None:
    """Nothing overrules what the records of the trial in ``path`` say: ``arch`` is what the user called it.

    Raises:
        SpecError: it is another network, or none that we know.
    """
    spec = TrialDirectory(path).spec()
    if spec is not None and arch is not None:
        refuse_contradiction(arch, spec.architecture, where=str(path))


def refuse_contradiction(arch: str, known: str, *, where: str) -> None:
    """``arch``, timm's name of a network or one of our texts, must be the ``known`` one.

    Raises:
        SpecError: it is not, or it is none that we know.
    """
    named = parse(arch if ":" in arch else architecture_named(arch)).text
    if named != parse(known).text:
        raise SpecError(f"{where} holds {known}, --arch says {arch}: leave --arch out, or name the weights you mean")


def _read(path: Path, result: TrialResult) -> tuple[KeptFacts, dict[str, Tensor]]:
    try:
        regular_stat(path)
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = from_plain(KeptFacts, plain_from_json(header or ""), where=str(path))
    except (SafetensorError, OSError, ValueError, SpecError) as error:
        raise DamagedError(f"{path} cannot be read as the weights of a trial ({error})", _AGAIN) from None
    if facts.trial != result.fingerprint:
        raise _of_another(path, f"they are of trial {facts.trial}, not of {result.fingerprint}")
    if facts.data != result.data_fingerprint:
        raise _of_another(path, changed_data(facts.data, result.data_fingerprint))
    if weights_digest(facts.network.architecture, state) != result.weights_digest:
        raise _of_another(path, "their numbers are not those that the trial was judged by")
    return facts, state


def _of_another(path: Path, why: str) -> DamagedError:
    return DamagedError(f"{path} holds other weights than this trial's: {why}", _AGAIN)
