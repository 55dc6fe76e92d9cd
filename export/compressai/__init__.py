"""CompressAI's models as engines, their checkpoints as they are.

The package `compressai` is imported when a model is loaded, and not before.
"""
