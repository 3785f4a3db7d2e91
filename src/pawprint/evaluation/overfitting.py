def overfitting(history, restored=()): return []
