"""Measurements: ratios in one run, medians. ``python -m benchmarks`` runs them all."""
