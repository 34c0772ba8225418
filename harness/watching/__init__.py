"""A page that shows a study while it trains: curves that grow, weights as they are, the best."""
