"""Every code has its words, once; names in them are printed as they are, and nothing reads a sentence back."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import typing

import pytest
from tests.report import sample

import levelfield
from levelfield.records.allowed import TooFewSteps, TooManyEpochs
from levelfield.records.codec import from_plain, record, to_plain
from levelfield.records.errors import SpecError
from levelfield.records.reason import Coded, Reason
from levelfield.report.facts import RefusedCell
from levelfield.report.page.page import refused_summary
from levelfield.report.words.codes import WORDS
from levelfield.report.words.told import all_told, told
from levelfield.scaling.results.reasons import laws
from levelfield.scaling.results.reasons.beside import BestStandIn, FamilyPoints
from levelfield.scaling.results.reasons.laws import FewBudgets, MovedParameter, OneRunEach, OutlyingRow
from levelfield.scaling.results.reasons.predictions import WeighedLaw
from levelfield.scaling.results.reasons.verdicts import BestIsBound, NothingTested, NoWinnerHere
from levelfield.scaling.results.refusals import LawOf, Refusal, Subject, WithinArm

EVIL = ("{0}", "{family}", "{family:family}", "vit", "1.07e9", "a; b (c)", "flops", "%s")


def codes() -> list[type[Coded]]:
    """Every class of the package that has a code and fields of its own."""
    for module in pkgutil.walk_packages(levelfield.__path__, "levelfield."):
        if module.name.split(".")[1] in ("records", "scaling", "reference", "report", "study") and not module.ispkg:
            importlib.import_module(module.name)
    found, open_ = [], [Coded]
    while open_:
        kinds = open_.pop().__subclasses__()
        open_ += kinds
        found += [kind for kind in kinds if dataclasses.is_dataclass(kind) and kind.__module__.startswith("levelfield")]
    return sorted(found, key=lambda kind: kind.code)


def filled(kind: type) -> typing.Any:
    """A ``kind`` with a value of its type in every field."""
    return kind(**{name: value_of(hint) for name, hint in typing.get_type_hints(kind).items() if name != "code"})


def value_of(hint: typing.Any) -> typing.Any:
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)[0]
    if typing.get_origin(hint) is tuple:
        return (value_of(typing.get_args(hint)[0]),)
    arguments = [each for each in typing.get_args(hint) if each is not type(None)]
    if arguments:
        return value_of(arguments[0])
    known = {str: "name", int: 3, float: 2.5e12, bool: True, Subject: LawOf(family="vit", currency="flops")}
    known |= {Reason: FewBudgets(num=3, needed=4), laws.BacktestedForm: laws.BacktestedForm(form="log-log", error=0.1)}
    known |= {WeighedLaw: WeighedLaw(form="saturating", weight=0.4)}
    known |= {MovedParameter: MovedParameter(name="b", value=1.0, without=2.0)}
    known |= {OutlyingRow: OutlyingRow(inputs=(1.0,), loss=2.0)}
    return known[hint]


@pytest.mark.parametrize("kind", codes(), ids=lambda kind: kind.code)
def test_every_code_has_words_and_survives_a_file(kind):
    found = filled(kind)
    words = told(found)
    assert words == words.strip() != ""
    assert "{" not in words
    assert not words.endswith(".")
    assert to_plain(found)["code"] == kind.code
    base = Subject if issubclass(kind, Subject) else Reason if issubclass(kind, Reason) else Coded
    assert from_plain(base, to_plain(found)) == found


def test_no_words_are_left_without_a_code():
    assert set(codes()) == WORDS.keys()
    assert len(WORDS) > 120


@pytest.mark.parametrize("name", EVIL)
def test_names_are_printed_as_they_are_whatever_they_look_like(name):
    shown = "ViT" if name == "vit" else name
    assert told(NoWinnerHere(family=name)) == f"{shown} has no winner at this budget"
    edge = BestIsBound(family=name, edges=(name,))
    assert told(edge) == f"{shown} lies at an edge of its search ({name}): its best loss is only bounded from above"
    assert told(NothingTested(why=(edge, edge))) == f"nothing was tested: {told(edge)}; {told(edge)}"
    stands = BestStandIn(points=(FamilyPoints(family=name, how=OneRunEach(num_budgets=4)),))
    assert told(stands) == f"the points stand in for winners ({shown}: one run at each of 4 budgets)"
    within = WithinArm(arm=name, asked=LawOf(family=name, currency="flops"))
    assert told(within) == f"{name}: the law of {shown} in training FLOPs"


def test_what_is_not_there_is_not_told():
    assert all_told((None, FewBudgets(num=3, needed=4), None)) == told(FewBudgets(num=3, needed=4))
    assert all_told(()) == ""


def test_a_code_that_nobody_knows_and_a_wrong_field_are_refused():
    with pytest.raises(SpecError, match="no reason has the code 'few-buckets'"):
        from_plain(Reason, {"code": "few-buckets", "num": 3})
    with pytest.raises(SpecError, match="num"):
        from_plain(Reason, {"code": "few-budgets", "num": "three", "needed": 4})
    with pytest.raises(SpecError, match="no reason has the code 'law-of'"):
        from_plain(Reason, {"code": "law-of", "family": "vit", "currency": "flops"})


def test_a_sentence_stands_beside_the_code_where_one_is_asked_for():
    found = Refusal(what=LawOf(family="vit", currency="flops"), why=(FewBudgets(num=3, needed=4),))
    plain = to_plain(found, describe=told)
    assert plain["why"] == [
        {
            "code": "few-budgets",
            "sentence": "3 budgets away from chance, at least 4 are needed",
            "num": 3,
            "needed": 4,
            "num_dropped": 0,
            "num_rows": 0,
        }
    ]
    assert plain["what"]["sentence"] == "the law of ViT in training FLOPs"


def test_cells_are_counted_by_the_rule_and_not_by_how_they_are_called():
    def refused(model: str, reason: Reason) -> RefusedCell:
        return RefusedCell(family="vit", model=model, budget_flops=1e10, reason=reason)

    cells = (
        refused("3 steps of 8, more than 4", TooFewSteps(steps=212, batch=8, least=500)),
        refused("b", TooFewSteps(steps=1, batch=64, least=500)),
        refused("c", TooManyEpochs(epochs=5.5, most=4.0)),
    )
    facts = dataclasses.replace(sample.facts(), refused_cells=cells)
    assert (
        refused_summary(facts) == "3 planned cells were not run: fewer than 500 steps (2) and more than 4 epochs (1)."
    )


def test_a_reason_names_its_code_and_its_fields_where_nobody_words_it():
    assert str(FewBudgets(num=3, needed=4)) == "few-budgets (num 3, needed 4, num_dropped 0, num_rows 0)"


@record
class _Unworded(Reason):
    pass


def test_a_code_without_words_is_a_mistake_that_shows():
    with pytest.raises(KeyError):
        told(_Unworded())
