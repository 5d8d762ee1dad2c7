"""A race: what is asked for in hours or FLOPs, as a study that finds its own range."""
