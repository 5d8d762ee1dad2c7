"""Levelfield: judge ConvNets and Vision Transformers at equal compute.

The package reads from the bottom up: ``units`` → ``records`` → ``families | scaling | reference`` → ``compute | data``
→ ``tasks`` → ``train`` → ``study | report`` → ``cli``. Importing ``levelfield`` itself loads nothing heavy.
"""

__version__ = "0.1.0"
