"""Results of very many photos: a folder of Parquet parts, on any file system; its form and files.

```
DIR/job.json                    what is computed, of which photos: fixed when the job begins
DIR/plan-*/listing.parquet      every input; its row groups are the parts' inputs
DIR/plan-*/...                  what computes: a bundle, or a network
DIR/parts/part-000000.parquet   the results, in the listing's order
DIR/manifest.json               what came of every input; there once the job has finished
```

A part has its name only when it is whole, and says of itself which job it is of. So whoever looks
knows what is missing, and what is done twice is the same file.
"""
