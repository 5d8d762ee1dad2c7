"""Vision Transformer (Dosovitskiy et al., arXiv 2010.11929) as big_vision trains it."""
