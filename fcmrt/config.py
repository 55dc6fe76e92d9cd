"""What is chosen by the caller: what goes into the stream, what does not, and what is allowed.

`CodingParams` changes bytes and is written into the stream header. `RuntimeOptions` never changes
a byte. `Limits` bounds what untrusted bytes may ask for.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from .errors import ConfigError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CodingParams:
    """Parameters of the entropy coder that show in the bytes."""

    overhead_permille: int = 5
    """Bytes that lanes and segments may cost, in thousandths of the payload, 1 to 1000.

    More lanes and segments decode faster. See `docs/format.md`, section 5.
    """

    def __post_init__(self) -> None:
        if not 1 <= self.overhead_permille <= 1000:
            raise ConfigError(
                f"overhead_permille is {self.overhead_permille}; it must be 1 to 1000"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """How the work is done. No setting here changes a byte of an exact engine's packets."""

    device: Literal["cpu"] = "cpu"
    """Where the networks run."""

    runner: Literal["onnxruntime"] = "onnxruntime"
    """Which library runs them."""

    threads: int | None = None
    """Threads of one network run; None: the library's own choice (one per core)."""

    kernels: str | None = None
    """Name of the implementation of coder and quantiser, of those that `fcmrt doctor` lists; None:
    the fastest."""

    cache_dir: str | None = None
    """Folder for what was found out about this machine, such as which runners are exact; None:
    `$FCMRT_CACHE_DIR`, or else the user's cache folder."""

    def __post_init__(self) -> None:
        if self.device != "cpu":
            raise ConfigError(f"device {self.device!r} is not known; this version has 'cpu'")
        if self.runner != "onnxruntime":
            raise ConfigError(
                f"runner {self.runner!r} is not known; this version has 'onnxruntime'"
            )
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads is {self.threads}; it must be at least 1, or None")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what untrusted bytes may ask for; exceeding one is a `LimitExceededError`."""

    max_packet_bytes: int = 64 << 20
    """Size of one packet, in bytes."""

    max_side: int = 16384
    """Height or width of the finest feature level, in cells."""

    max_elements: int = 1 << 26
    """Elements of all coded latents and of all features of one packet, together."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise ConfigError(f"{field.name} must be at least 1")
