"""Predictions and heatmaps in a process of their own: `client` asks, `service` answers."""
