"""What a trained network is worth and where it looks: metrics, evaluation, predictions, heatmaps."""
