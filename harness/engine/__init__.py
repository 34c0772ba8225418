"""From the specs of layers to a network that trains."""
