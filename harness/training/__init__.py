"""Training as a fold: prepared data, networks, the segment between two decisions, state, scores."""
