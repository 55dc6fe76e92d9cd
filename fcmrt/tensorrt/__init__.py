"""TensorRT and TensorRT-RTX: plans of single graphs, built, kept and run.

`library.py` and `execution.py` are the only places that call either. Nothing here knows engines;
`fcmrt.plans` builds theirs, and the runner `tensorrt` runs them.
"""
