"""Engines: other ways to the same step, faster where they run. Each is tested against the plain one, its slow twin."""
