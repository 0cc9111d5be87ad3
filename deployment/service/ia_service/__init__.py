"""A thin HTTP service around the ia_modules pipeline library."""

__version__ = "1.2.0"
