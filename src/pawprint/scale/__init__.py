"""The same verbs for any number of photos, here or on a cluster: results in Parquet parts.

`job.py` is the whole story. What computes is a `Work` (`work.py`), made once by each worker
(`worker.py`); an `Engine` (`engines.py`, `ray_engine.py`) says which worker does which part.
"""
