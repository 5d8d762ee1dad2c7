"""What a study says: the records of an analysis, and the one seam through which statistics enter.

Every stage after training (``fit``, ``predict``, ``compare``, ``report``) reads an :class:`Analysis` and nothing else,
so a deeper statistic replaces what is behind :func:`analyse` without touching a caller.
"""
