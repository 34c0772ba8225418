"""Sweeps and comparisons: what is tried, who drives it, and what comes of it."""
