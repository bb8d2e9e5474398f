"""The loop that teaches a network, and the parts it turns on."""
