"""Integers carried in floats: the proof, the reference, and the check of a runner.

NumPy only.
"""

from .proof import Proof, prove

__all__ = ["Proof", "prove"]
