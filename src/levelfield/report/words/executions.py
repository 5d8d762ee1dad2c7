"""What is said of a study whose trials were not all executed alike."""

from __future__ import annotations

from collections.abc import Mapping

from levelfield.records.execution import Execution


def mixed_executions(trials: Mapping[tuple[Execution, ...], int]) -> str:
    """A sentence where ``trials``, counted by their executions, had more than one of them; nothing where they had not.

    >>> mixed_executions({(Execution(device="CPU A", torch_version="2.9"),): 7})
    ''
    """
    if len(trials) == 1 and all(len(executions) == 1 for executions in trials):
        return ""
    parts = [
        f"{num} trial{'s' * (num > 1)} with {', resumed with '.join(each.words for each in executions)}"
        for executions, num in sorted(trials.items(), key=lambda item: (-item[1], str(item[0])))
    ]
    told = f"the study mixes executions ({'; '.join(parts)}), so its losses would come out equal to rounding alone"
    return told if parts else ""
