"""What every benchmark prints: the machine, the versions, rows, and a table made from them."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from fcmrt import Engine

Row = dict[str, Any]

BEGUN = time.monotonic()
ROOT = Path(__file__).resolve().parents[1]

# Instruction sets that the kernels or the networks' libraries make use of.
CPU_FLAGS = [
    "sse4_1",
    "sse4_2",
    "avx",
    "avx2",
    "bmi2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vbmi",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimdhp",
    "asimddp",
    "sve",
]
PACKAGES = (
    "fcmrt",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "cupy-cuda13x",
    "tensorrt",
    "zstandard",
    "pycocotools",
    "av",
    "pillow",
    "bjontegaard",
)


@dataclass(slots=True)
class Report:
    """One run of one benchmark."""

    command: str
    rows: list[Row] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    """Further keys of the object, besides machine, versions, command and rows."""
    notes: list[str] = field(default_factory=list)
    """Sentences on what was measured and what was not."""
    failed: bool = False
    """Whether something was not as it must be, or could not be measured."""
    engines: Sequence[Engine] = ()
    """Those that were measured; the object has their names and digests."""

    def to_dict(self, packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
        """Give the object that `--json` writes: plain JSON values, NaN and infinity as null."""
        whole = {
            "machine": machine(),
            "versions": versions(packages),
            "commit": commit(),
            "command": self.command,
            "notes": self.notes,
            "rows": self.rows,
            **self.more,
        }
        if self.engines:
            whole["engines"] = [
                {"name": engine.manifest.name, "digest": engine.digest_hex}
                for engine in self.engines
            ]
        return dict(plain(whole))


def machine() -> dict[str, Any]:
    """Describe the computer: processor, cores at hand, memory, instruction sets, system."""
    model, flags = platform.processor() or platform.machine(), set()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags |= set(value.split())
    except OSError:
        pass  # not Linux: the platform's own words have to do
    affinity = getattr(os, "sched_getaffinity", None)
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    return {
        "cpu": model,
        "cores": len(affinity(0)) if affinity is not None else os.cpu_count(),
        "memory_gib": memory,
        "instruction_sets": [flag for flag in CPU_FLAGS if flag in flags],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str | None]:
    """Give the installed version of each package, None where it is not installed."""
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            # A source tree on the path has no metadata; its module may still have the version.
            found[name] = getattr(sys.modules.get(name), "__version__", None)
    zstandard = sys.modules.get("zstandard")
    if zstandard is not None:
        found["zstd"] = ".".join(str(part) for part in zstandard.ZSTD_VERSION)
    return found


def commit() -> str | None:
    """Give the commit that is checked out in the repository, None where there is none."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--show-toplevel", "HEAD"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    # Sources without a repository of their own may lie in somebody else's.
    top, head = done.stdout.splitlines()
    return head if Path(top).resolve() == ROOT else None


def command_line(module: str) -> str:
    """Give the command that is running, as it can be typed again."""
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def plain(value: Any) -> Any:
    """Turn numpy's values, tuples and non-finite numbers into what JSON knows."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    return value


def median_and_spread(samples: ArrayLike) -> dict[str, float]:
    """Give the median, and as `spread` the interquartile range over the median."""
    low, middle, high = (float(v) for v in np.percentile(np.asarray(samples, float), [25, 50, 75]))
    return {"median": middle, "spread": (high - low) / middle if middle else 0.0}


def percentiles(samples: ArrayLike) -> dict[str, float]:
    """Give p50, p90, p99, the mean and the spread (interquartile range over the median)."""
    values = np.asarray(samples, float)
    p50, p90, p99 = (float(v) for v in np.percentile(values, [50, 90, 99]))
    spread = median_and_spread(values)["spread"]
    return {"p50": p50, "p90": p90, "p99": p99, "mean": float(values.mean()), "spread": spread}


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """Lay out rows as text.

    Args:
        rows: What to show.
        columns: Key of the row to the format of its values (`".3f"`); absent values stay blank.
    """
    cells = [list(columns)]
    for row in rows:
        values = (plain(row.get(key)) for key in columns)
        texts = zip(values, columns.values(), strict=True)
        cells.append(["" if value is None else format(value, spec) for value, spec in texts])
    widths = [max(len(line[k]) for line in cells) for k in range(len(columns))]
    numeric = [spec != "" for spec in columns.values()]
    lines = []
    for line in cells:
        parts = zip(line, widths, numeric, strict=True)
        lines.append("  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in parts))
    return "\n".join(line.rstrip() for line in lines)


def positive(text: str) -> int:
    """Read a number of something, at least 1, from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every benchmark has."""
    parser.add_argument("--json", metavar="PATH|-", help="write one JSON object here; -: stdout")
    parser.add_argument("--quick", action="store_true", help="fewer inputs, under a minute")


def emit(report: Report, text: str, target: str | None) -> None:
    """Print the text and write the JSON.

    Args:
        report: What was measured.
        text: The same for people; goes to stderr when the JSON goes to stdout.
        target: Path of the JSON, `-` for stdout, None for no JSON.
    """
    described = machine()
    head = (
        f"{report.command}\n{described['cpu']}, {described['cores']} cores, "
        f"{described['memory_gib']} GiB, python {described['python']}"
    )
    notes = "".join(f"\nNote: {note}" for note in report.notes)
    print(f"{head}\n\n{text}\n{notes}", file=sys.stderr if target == "-" else sys.stdout)
    if target is None:
        return
    encoded = json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(encoded)
    else:
        replace_text(Path(target), encoded)


def replace_text(path: Path, text: str) -> None:
    """Write a file in one step: an interrupted run leaves the earlier file."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)


Keep = Callable[[Report], None]
"""Writes the JSON of what has been measured so far."""


def run(measure: Callable[[Keep], tuple[Report, str]], target: str | None) -> int:
    """Measure something that needs a device, and print it.

    Args:
        measure: Gives the report and its text. It may call its argument with what it has so far,
            as often as it likes; that JSON has the key `unfinished`.
        target: As for `emit`.

    Returns:
        The exit code: 1 if the device or its library is missing, without any figures, or if the
        report says that it failed.
    """
    # Imported here, since `gpu_result` also writes its file where fcmrt could not be built.
    from fcmrt.errors import BackendUnavailableError, DeviceError

    def keep(so_far: Report) -> None:
        if target not in (None, "-"):
            found = {**so_far.to_dict(), "unfinished": True}
            replace_text(Path(str(target)), json.dumps(found, indent=1, allow_nan=False) + "\n")

    try:
        result, text = measure(keep)
    except (BackendUnavailableError, DeviceError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    emit(result, text, target)
    return int(result.failed)


def progress(text: str) -> None:
    """Say on stderr what begins, and the seconds since this module was loaded."""
    print(f"{time.monotonic() - BEGUN:6.0f} s  {text}", file=sys.stderr, flush=True)
