"""What others published: results with their sources, in one currency where that is possible."""
