"""Integers carried in floats: the proof, the reference, and the check of a runner.

NumPy only.
"""

from .bringup import Runnable, Verdict, bring_up
from .proof import Proof, prove
from .reference import Reference
from .sums import LIMIT as SUM_LIMIT
from .verdicts import Question, VerdictCache, cache_folder

__all__ = [
    "SUM_LIMIT",
    "Proof",
    "Question",
    "Reference",
    "Runnable",
    "Verdict",
    "VerdictCache",
    "bring_up",
    "cache_folder",
    "prove",
]
