"""The long run of the fuzzers.

    python tests/fuzz/run.py --count 100000 --seed 0

prints how often each target refused or took its inputs, and every finding; it fails if there is
one. The same seed gives the same inputs, so a finding is run again with `--first INDEX --count 1`.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import time
import warnings
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# At the end, so that the installed fcmrt is tested and not the source folder of the same name.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from tests.fuzz import corpus  # noqa: E402
from tests.fuzz.cases import make_case  # noqa: E402
from tests.fuzz.hunt import Bounds, Tally, hunt  # noqa: E402
from tests.fuzz.targets import TARGETS, run_case, run_seeds  # noqa: E402

PACKAGES = ("fcmrt", "numpy", "onnxruntime", "onnx")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=100_000, help="inputs")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the counts here")
    parser.add_argument("--save", type=Path, metavar="DIR", help="folder for inputs of findings")
    return parser.parse_args(arguments)


def describe(tally: Tally, bounds: Bounds, seconds: float) -> dict[str, Any]:
    """What came of a run, as JSON has it."""
    targets: dict[str, Any] = {}
    for target in TARGETS:
        words = {
            name: dict(sorted(tally.outcomes[target, mended].items(), key=lambda item: -item[1]))
            for name, mended in (("as they are", False), ("mended", True))
        }
        count = sum(sum(found.values()) for found in words.values())
        targets[target] = {"inputs": count, **words}
    return {
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "command": shlex.join(["python", "tests/fuzz/run.py", *sys.argv[1:]]),
        "inputs": tally.done,
        "findings": [
            {"index": f.index, "target": f.target, "subject": f.subject, "how": f.how}
            | {"what": f.what.strip().splitlines()[-1]}
            for f in tally.findings
        ],
        "limits": {
            name: getattr(corpus.LIMITS, name)
            for name in ("max_packet_bytes", "max_side", "max_elements")
        },
        "bounds": {name: getattr(bounds, name) for name in Bounds.__slots__},
        "peak_memory_growth_mib": round(tally.growth_bytes / 2**20, 1),
        "seconds": round(seconds),
        "targets": targets,
    }


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    # A warning about hostile input is an error wherever a user has made it one.
    warnings.simplefilter("error")
    bounds = Bounds()
    begin = time.monotonic()

    def progress(tally: Tally) -> None:
        if tally.done % 1000 == 0:
            rate = tally.done / (time.monotonic() - begin)
            text = f"{tally.done} inputs, {rate:.0f} a second, {len(tally.findings)} findings"
            print(text, file=sys.stderr, flush=True)

    tally = hunt(
        range(options.first, options.first + options.count),
        partial(make_case, options.seed),
        run_case,
        workers=options.workers,
        bounds=bounds,
        save=options.save,
        warm_up=run_seeds,
        progress=progress,
    )
    found = describe(tally, bounds, time.monotonic() - begin)
    for finding in tally.findings:
        print(f"{finding.index} {finding.target} {finding.subject} {finding.how}\n{finding.what}")
    print(json.dumps({key: found[key] for key in found if key != "findings"}, indent=1))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
