"""Makes `benchmarks` importable without hiding the installed fcmrt behind the source folder."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
