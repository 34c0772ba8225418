"""Films of runs, networks and pages beside each other, as one film and one page."""
