"""What one does after accidents, and the parts that `harness.upkeep` puts together for it."""
