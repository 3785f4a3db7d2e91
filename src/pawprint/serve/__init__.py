"""A bundle as a service: HTTP, the Open Inference Protocol and a page. Never Keras."""
