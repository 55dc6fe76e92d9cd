"""Engine files and features for the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ..engines import factorized_parts, hyperprior_parts

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def engine_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine with two levels, p3 and p4, and four quality levels."""
    path = tmp_path_factory.mktemp("engine") / "hyperprior.fcmrt"
    path.write_bytes(hyperprior_parts().pack())
    return path


@pytest.fixture(scope="session")
def single_level_engine_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine with one level."""
    path = tmp_path_factory.mktemp("engine") / "factorized.fcmrt"
    path.write_bytes(factorized_parts().pack())
    return path


@pytest.fixture(scope="session")
def features() -> dict[str, np.ndarray]:
    """Features of two pictures for `engine_file`."""
    draw = np.random.default_rng(3)
    return {
        "p3": draw.standard_normal((2, 6, 20, 24), np.float32),
        "p4": draw.standard_normal((2, 8, 10, 12), np.float32),
    }


@pytest.fixture
def one(tmp_path: Path, features: dict[str, np.ndarray]) -> Path:
    """An .npz with one picture's features."""
    path = tmp_path / "one.npz"
    np.savez(path, **{name: level[0] for name, level in features.items()})
    return path


@pytest.fixture
def batch(tmp_path: Path, features: dict[str, np.ndarray]) -> Path:
    """An .npz with a batch of two."""
    path = tmp_path / "batch.npz"
    np.savez(path, **features)
    return path


@pytest.fixture(scope="session")
def same_engine_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The codec of `engine_file`, for machines like the encoder's only."""
    path = tmp_path_factory.mktemp("engine") / "same.fcmrt"
    path.write_bytes(hyperprior_parts().same_engine().pack())
    return path
