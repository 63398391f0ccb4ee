"""Converts pictures for a model: `fit` has the limits, `steps` the conversion."""
