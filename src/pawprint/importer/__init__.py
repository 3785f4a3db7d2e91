"""Classifiers of stock Keras, brought in as bundles."""
