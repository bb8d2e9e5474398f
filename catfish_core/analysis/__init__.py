"""What a trained network can do, and where it looked."""
