"""What others published: results with their sources, in one currency where that is possible."""

from levelfield.reference.points import Compute, PublishedPoint, published_points, select
from levelfield.reference.seed_figure import SeedFigure, SeedPoint, seed_figure

__all__ = ["Compute", "PublishedPoint", "SeedFigure", "SeedPoint", "published_points", "seed_figure", "select"]
