"""Plots of a run, drawn from its files."""
