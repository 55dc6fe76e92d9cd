"""Measures what fcmrt costs and gains; see the README in this folder."""

import sys
from pathlib import Path

# `python -m benchmarks.NAME` puts the repository's root first on the path, where the source folder
# `fcmrt` (incomplete: no kernels) would hide the installed package.
_ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _ROOT]
