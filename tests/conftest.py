"""What all tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis

ROOT = Path(__file__).parent.parent

# At the end, so that the installed fcmrt is tested and not the source folder of the same name.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.register_profile("expensive", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)
