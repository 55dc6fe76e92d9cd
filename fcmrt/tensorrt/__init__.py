"""TensorRT and TensorRT-RTX: plans of single graphs, built, kept and run.

Only `library.py`, `execution.py` and `logger.py` call either library. Nothing here knows engines:
`fcmrt.plans` builds their plans, and the runner `tensorrt` runs them.
"""
