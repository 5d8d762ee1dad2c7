"""Hostile inputs by kind: seeded cases with an oracle each, and what runs them under a clock and a memory limit.

A kind is a module here with ``COUNT``, the cases of its acceptance run, and ``attempt(seed, index, folder)``, which
makes case ``index`` in the empty ``folder``, runs the real code on it and returns "right" (the oracle agreed),
"refused" or "wrong: <what>". A LevelfieldError that escapes is a refusal if it is a sentence; anything else that
escapes counts as a traceback. What an attempt needs (torch) is imported at the top of its module: imports inside it
count as its time.
"""
