"""Label suspects shown in the browser, and what is said of them kept as corrections."""
