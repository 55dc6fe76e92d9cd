"""What is chosen by the caller: what goes into the stream, what does not, and what is allowed.

`CodingParams` changes bytes and is written into the stream header. `RuntimeOptions` says how the
work is done. `Limits` bounds what untrusted bytes may ask for.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Final, Literal

from .arguments import instance, truth, whole, word
from .errors import ConfigError, LimitExceededError

RUNNERS: Final = ("onnxruntime", "torch", "tensorrt", "reference")
DEVICES: Final = ("cpu", "cuda")
CODERS: Final = ("auto", "cuda", "cpu")
MAX_THREADS: Final = 1024
PRECISIONS: Final = ("float32", "float64", "float16", "bfloat16")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CodingParams:
    """Parameters of the entropy coder that show in the bytes."""

    overhead_permille: int = 5
    """Bytes that lanes and segments may cost, in thousandths of the payload, 1 to 1000.

    More lanes and segments decode faster. See `docs/format.md`, section 5.
    """

    check_bits: int = 16
    """Least bits of a packet's check over its integers, 16 or 32; with engines that are not exact
    it is always 32.

    With 32 even the smallest packet has two lanes, which costs about 3 bytes. It is not in the
    stream header; decoders see it from each packet's number of lanes.
    """

    def __post_init__(self) -> None:
        permille = whole(self.overhead_permille, "overhead_permille", 1, 1000)
        object.__setattr__(self, "overhead_permille", permille)
        object.__setattr__(self, "check_bits", whole(self.check_bits, "check_bits"))
        if self.check_bits not in (16, 32):
            raise ConfigError(f"check_bits is {self.check_bits}; it must be 16 or 32")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """How the work is done; it never changes the bytes of an exact engine's packets."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where the networks run; "tensorrt" runs on "cuda" only, "reference" on "cpu" only. "cuda" is
    the first GPU that the process sees. No runner falls back to another device."""

    coder: Literal["auto", "cuda", "cpu"] = "auto"
    """Where entropy coder and quantiser run when the networks run on the device "cuda".

    "cuda": features and latents stay on the GPU, and only packets leave it; needs CuPy. "cpu":
    whatever a network reads or writes passes through the host. "auto": the quicker one, as measured
    here with the first pictures of about this size and number, and kept in the cache folder; "cpu"
    where CuPy is not installed, or the runner does not read a GPU's memory."""

    cuda_graphs: bool = True
    """Record the launches of a size that occurs again in a CUDA graph, if the runner allows it;
    only with the coder on the GPU."""

    runner: Literal["onnxruntime", "torch", "tensorrt", "reference"] = "onnxruntime"
    """Which library runs the networks; "tensorrt" is TensorRT or TensorRT-RTX, "reference" is the
    slow one that `fcmrt verify` compares the others with."""

    optimise: bool = True
    """Let the library rearrange and fuse: ONNX Runtime's graph optimisations, PyTorch's oneDNN."""

    precision: Literal["float32", "float64", "float16", "bfloat16"] = "float32"
    """Floating point of the networks outside of the exact path, for the runner "torch".

    The other runners compute in the type that each graph declares, so they take only "float32"
    here; `fcmrt export --precision` makes engines in other types.

    The exact path runs in float32, or in float64 if that is chosen here. In a same-engine
    codec, means and indexes are computed in this type as well: in half precision they are coarse.
    """

    threads: int | None = None
    """Threads of one network run, threads that share the segments of a large packet, and pictures
    of a batch that are processed at the same time, 1 to 1024; None: one per core, and for networks
    the library's own choice."""

    kernels: str | None = None
    """Implementation of coder and quantiser, one of those that `fcmrt doctor` lists; None: the one
    that the environment variable FCMRT_KERNELS names, or else the one with the widest vectors.

    On machines where wide vectors are slow, try "avx2" or "scalar"."""

    cache_dir: str | os.PathLike[str] | None = None
    """Folder for findings about this machine, such as which runners are exact, and for plans; None:
    `$FCMRT_CACHE_DIR`, or else `fcmrt` in the user's cache folder."""

    def __post_init__(self) -> None:
        words = (("device", DEVICES), ("coder", CODERS), ("runner", RUNNERS))
        for name, known in (*words, ("precision", PRECISIONS)):
            word(getattr(self, name), name, known)
        for name in "cuda_graphs", "optimise":
            truth(getattr(self, name), name)
        if self.kernels is not None:
            instance(self.kernels, str, "kernels", "it must be a name, or None")
        if self.cache_dir is not None:
            instance(self.cache_dir, str | os.PathLike, "cache_dir", "it must be a path, or None")
            object.__setattr__(self, "cache_dir", os.fspath(self.cache_dir))
        if self.threads is not None:
            object.__setattr__(self, "threads", whole(self.threads, "threads", 1, MAX_THREADS))
        fixed = {"tensorrt": "cuda", "reference": "cpu"}.get(self.runner)
        if fixed not in (None, self.device):
            raise ConfigError(f"the runner {self.runner!r} runs on {fixed!r}, not {self.device!r}")
        if self.runner != "torch" and self.precision != "float32":
            raise ConfigError(
                f"the runner {self.runner!r} computes in the type that each graph says, and cannot "
                f"be told {self.precision}; the runner 'torch' can, and `fcmrt export --precision` "
                "makes engines in other types"
            )
        if self.coder == "cuda" and self.device != "cuda":
            raise ConfigError("coder 'cuda' goes with device 'cuda', where the networks run")


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
            object.__setattr__(self, field.name, whole(getattr(self, field.name), field.name, 1))

    def require(self, field: str, number: int, what: str, offset: int | None = None) -> None:
        """Refuses a number over a limit.

        Args:
            field: Name of the limit.
            number: What is asked for.
            what: What asks for it, and for what, for the error.
            offset: Its place in the bytes; None: it has none.

        Raises:
            LimitExceededError: It is over the limit; the text says how to allow it all the same.
        """
        allowed = getattr(self, field)
        if number > allowed:
            raise LimitExceededError(
                f"{what}; the limits allow {allowed}. To take it all the same, give limits with "
                f"Limits({field}={number}) or more",
                offset=offset,
            )
