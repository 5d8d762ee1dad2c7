"""What the trials say: laws, optima, predictions and fair comparisons. NumPy and SciPy only; fits anyone's points."""
