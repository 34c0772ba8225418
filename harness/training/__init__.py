"""Training as a fold: prepared data, a network between two segments, the segment, its state and
scores.
"""
