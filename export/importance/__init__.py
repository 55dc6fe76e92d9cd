"""What each level's bits are worth to the task: measured, modelled, predicted, put into an engine.

python -m fcmrt.export.importance CHECKPOINT --cache CACHE --out FILE
fcmrt export CHECKPOINT --importance FILE --out ENGINE
"""
