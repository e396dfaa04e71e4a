"""Figures of the project's own cost, each a ratio or a difference within one run: `make bench`."""
