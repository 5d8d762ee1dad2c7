"""The laws: one file each. Adding one is writing its file and naming it here; the conformance suite then tests it."""

from levelfield.scaling.laws.base import Floats, Law, Numbers, Parameter, bounds, summed
from levelfield.scaling.laws.broken import Broken
from levelfield.scaling.laws.log_log import LogLog
from levelfield.scaling.laws.m4 import M4
from levelfield.scaling.laws.repeated import Repeated
from levelfield.scaling.laws.saturating import Saturating
from levelfield.scaling.laws.shifted import Shifted
from levelfield.scaling.laws.size_and_examples import SizeAndExamples

LAWS: dict[str, Law] = {
    law.form: law for law in (LogLog(), Saturating(), Shifted(), M4(), Broken(), SizeAndExamples(), Repeated())
}
OF_COMPUTE = tuple(form for form, law in LAWS.items() if law.inputs == ("compute",))
"""The forms that read compute alone, fewest parameters first."""

__all__ = ["LAWS", "OF_COMPUTE", "Floats", "Law", "Numbers", "Parameter", "bounds", "summed"]
