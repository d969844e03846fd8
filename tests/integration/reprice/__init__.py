"""Repricing, on real servers."""
