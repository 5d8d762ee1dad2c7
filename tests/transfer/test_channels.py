"""A grey backbone on colour pictures, and the other way round: said before anything is computed, changed if asked."""

from typing import Any

import pytest
import torch

from levelfield.families import registry
from levelfield.records.errors import SpecError
from levelfield.transfer.backbone import PretrainedBackbone
from levelfield.transfer.channels import suited
from levelfield.weights.kept import NetworkFacts
from tests.study.pictures import write_folder

ARCHITECTURES = ["nfnet:w8-d1x2-s4", "vit:w16-d2-p4"]


def backbone_of(architecture: str, channels: int) -> PretrainedBackbone:
    torch.manual_seed(5)
    model = registry.build(architecture, num_outputs=3, resolution=16, in_channels=channels)
    facts = NetworkFacts(architecture=architecture, resolution=16, num_outputs=3, in_channels=channels)
    state = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    return PretrainedBackbone(identity="weights:test", facts=facts, state=state, train_flops=7.0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("old", "new"), [(1, 3), (3, 1)])
def test_other_channels_are_refused_or_taken_by_another_first_layer(architecture, old, new):
    backbone = backbone_of(architecture, old)
    with pytest.raises(SpecError, match=f"take images of {old} .* the data has {new} .*--adapt-channels"):
        suited(backbone, new)
    assert suited(backbone, old) is backbone
    adapted = suited(backbone, new, adapt=True)
    assert adapted.facts.in_channels == new
    assert adapted.train_flops == 7.0
    assert adapted.identity != backbone.identity
    assert adapted.identity == suited(backbone_of(architecture, old), new, adapt=True).identity, (
        "equal weights, one name"
    )
    changed = [name for name, tensor in backbone.state.items() if not torch.equal(tensor, adapted.state[name])]
    assert len(changed) == 1
    model = registry.build(architecture, num_outputs=3, resolution=16, in_channels=new)
    model.load_state_dict(dict(adapted.state))


def test_a_grey_picture_gives_what_it_gave():
    old: Any = registry.build("vit:w16-d2-p4", num_outputs=3, resolution=16, in_channels=1).eval()
    backbone = backbone_of("vit:w16-d2-p4", 1)
    old.load_state_dict(dict(backbone.state))
    new: Any = registry.build("vit:w16-d2-p4", num_outputs=3, resolution=16, in_channels=3).eval()
    new.load_state_dict(dict(suited(backbone, 3, adapt=True).state))
    grey = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(new.features(grey.repeat(1, 3, 1, 1)), old.features(grey), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("pretrained", ["vit"], indirect=True)
@pytest.mark.parametrize("verb", ["finetune", "probe"])
def test_the_verbs_say_it_first_and_adapt_when_asked(verb, pretrained, tmp_path, invoke):
    write_folder(tmp_path / "mine", seed=0, count=20, side=16)
    command = (verb, pretrained, "--data", tmp_path / "mine", "--resolution", 16, "--report", 6, "--select", 6)
    command += ("--dir", tmp_path / "out") + (("--length", "2 steps", "--batch", 8) if verb == "finetune" else ())
    code, _, said = invoke(*command)
    assert (code, said.count("levelfield: ")) == (2, 1), said
    assert "take images of 1 channel (grey), the data has 3 channels (colour): --adapt-channels changes" in said
    assert not (tmp_path / "out").exists(), "nothing was begun"
    code, _, said = invoke(*command, "--adapt-channels")
    assert code == 0, said
