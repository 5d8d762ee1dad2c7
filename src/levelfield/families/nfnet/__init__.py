"""NFNet (Brock et al., arXiv 2102.06171): ConvNets without normalisation layers."""
