"""The engine of CatFish: everything that trains, measures and explains, without a browser."""

__version__ = "0.1.0"
