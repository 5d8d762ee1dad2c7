"""How a study is shown: figures, tables and one self-contained page, from an analysis and nothing else."""

from levelfield.report.facts import (
    LockedPrediction,
    RecipeFact,
    RefusedCell,
    StudyFacts,
    StudyTotals,
    TransferFact,
    TrialRow,
)

__all__ = ["LockedPrediction", "RecipeFact", "RefusedCell", "StudyFacts", "StudyTotals", "TransferFact", "TrialRow"]
