"""Encoded pictures by row, wherever they lie: one file a way of keeping them."""
