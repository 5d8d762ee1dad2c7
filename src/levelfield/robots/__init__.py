"""Simulated robots: scenes, who acts in them by a script, and what is recorded of it. Needs the extra ``robot``."""
