"""``levelfield quickstart`` from Python: the same objects, the same files, the same page."""

from pathlib import Path

from levelfield.publish import publish
from levelfield.report.words.verdicts import comparison_sentence, headline
from levelfield.study.run import run_study
from levelfield.study.spec_file import quickstart_study

study = Path("runs/quickstart")
run_study(quickstart_study(), study, num_workers=2)
page, analysis = publish(study)
for comparison in analysis.comparisons:
    print(comparison_sentence(analysis, comparison))
print(f"{headline(analysis)}\n{page}")
