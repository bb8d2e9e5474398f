"""`python -m catfish_core`: everything the browser can do, for a terminal, a script or a cluster."""

from catfish_core.cli.command import main

__all__ = ["main"]
