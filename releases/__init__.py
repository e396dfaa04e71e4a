"""Pinned third-party releases: which there are, where they come from, and what is changed in them."""
