"""The version, where everything that names it can import it."""

__version__ = "0.2.0"
