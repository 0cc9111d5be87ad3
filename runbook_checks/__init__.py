"""Runbooks that prove themselves: Markdown procedures, really run, with dated evidence."""

__version__ = "0.1.0"
