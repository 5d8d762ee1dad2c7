"""Where trials run. A launcher decides placement only; what a trial does is ``study.trial.run_trial``."""
