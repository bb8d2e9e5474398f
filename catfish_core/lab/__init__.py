"""Several people on one machine."""
