"""Weights in and out: other people's files read without running anything, ours written for others."""
