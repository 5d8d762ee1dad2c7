"""Curves and costs of trials for whoever watches: read from the files that trials leave, sent to others' programs."""
