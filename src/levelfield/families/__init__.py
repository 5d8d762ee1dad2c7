"""Who competes: one folder a family, each a torch-free ``spec`` and a ``model`` built from it."""
