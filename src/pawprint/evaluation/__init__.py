"""Predictions to figures, with NumPy alone."""
