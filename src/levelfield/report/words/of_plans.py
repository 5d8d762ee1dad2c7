"""In words: what the protocol does not allow of a plan, and what no outcome of it can decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelfield.records import allowed
from levelfield.records.reason import Coded, Reason

NO_VERDICT_AT_ALL = "as planned, this study can give no verdict on its families, whatever comes out"


def rule_broken(found: Reason) -> str:
    """What cells that are refused for one reason share: "fewer than 500 steps"."""
    match found:
        case allowed.TooFewSteps():
            return f"fewer than {found.least} steps"
        case allowed.TooManySteps():
            return f"more than {found.most} steps"
        case allowed.TooManyEpochs():
            return f"more than {found.most:g} epochs"
        case _:
            raise TypeError(f"{found.code} refuses no cell")


def _cell(found: allowed.CellRefused) -> str:
    return (
        "{architecture} {why:told}"
        if found.budget_flops is None
        else "{architecture} at {budget_flops:power}: {why:told}"
    )


def _arm(found: allowed.ArmOf) -> str:
    return "{arm} of {architecture}" if found.spend is None else "{arm} of {architecture}, spending {spend:g}"


def _open(found: allowed.Undecidable) -> str:
    where = "" if found.budget_flops is None else " at {budget_flops:power} FLOPs"
    if found.question == "cell":
        return f"no size of {{families:against}} is allowed{where}: {{why:all_told}}"
    if found.question == "one side":
        return f"of {{families:against}}{where} nothing but {{why:all_told}}"
    if not found.families:
        return "no verdict can come out: {why:all_told}"
    about = " on" if len(found.families) > 1 else " of"
    return f"no {{question}}{about} {{families:against}}{where} can come out: {{why:all_told}}"


PLAN_WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    allowed.TooFewSteps: "{steps} steps of {batch}, fewer than {least}",
    allowed.TooManySteps: "{steps} steps of {batch}, more than {most}",
    allowed.TooManyEpochs: "{epochs:.3g} epochs, more than {most:g}",
    allowed.CellRefused: _cell,
    allowed.MoreRefused: "… and {num} more",
    allowed.NoCellAllowed: "the protocol allows no cell of this study ({cells:all_told}): change its sizes, budgets or "
    "data",
    allowed.OnlyFamily: "{family:family} is the only family, so nothing is compared",
    allowed.FewReportExamples: "{num} report examples judge, at least {needed} are needed",
    allowed.NoSizeThere: "no size of {families:families} is allowed there",
    allowed.AlwaysAtEdge: "the winner of {family:family} always lies at an edge of its search ({edges:list}), so that "
    "its best loss is only bounded",
    allowed.OneSided: "{verdicts:or} for {family:family} can come out: {why:all_told}",
    allowed.NoneAt: "at {budget_flops:power} none can be given",
    allowed.FewRungsPossible: "{family:family} can have {num} rungs fit for it, at least {needed} are needed",
    allowed.EveryWinnerAtEdge: "every winner of both lies at an edge of its search",
    allowed.FewRungsForLaw: "{num} rungs have an allowed size, a law and a prediction need {needed}",
    allowed.FewWideRungs: "{num} rungs have {sizes} allowed sizes, the optimum's growth needs {needed} such rungs",
    allowed.Undecidable: _open,
    allowed.ArmOf: lambda found: (
        "{arm} of {architecture}" + (", spending {spend:g}" if found.spend is not None else "")
    ),
}
