"""The fuzz target of the C++ core, built with the sanitizers and run.

    python -m tests.fuzz.native --decodes 10000000 --json benchmarks/results/fuzz-coder.json

prints what came of it, and fails if there is a finding. The same seed makes the same packets, so a
finding is run again with the options that it names. What the target does stands in
`tests/native/fuzz_coder.cc`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from benchmarks.report import machine

ROOT = Path(__file__).resolve().parents[2]


def cmake() -> str:
    """The program's path: that of this environment, else the system's."""
    places = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    found = shutil.which("cmake", path=places)
    if found is None:
        raise SystemExit("the fuzz target is built with CMake: pip install cmake")
    return found


def build(folder: Path) -> Path:
    """Builds the target in a folder, with the compiler that CMake finds; where the programs are."""
    options = ["-DFCMRT_FUZZ=ON", "-DFCMRT_SANITIZE=ON"]
    for command in (
        [cmake(), "-S", str(ROOT), "-B", str(folder), *options],
        [cmake(), "--build", str(folder), "--parallel", str(os.cpu_count() or 1)],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "tests" / "native"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--decodes", type=int, default=1_000_000, help="at least so many")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other packets")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the counts here")
    parser.add_argument("--build", type=Path, metavar="DIR", default=ROOT / "build" / "fuzz")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    program = build(options.build) / "fuzz_coder"
    names = ("decodes", "seed", "first")
    numbers = [text for name in names for text in (f"--{name}", str(getattr(options, name)))]
    done = subprocess.run([program, *numbers], stdout=subprocess.PIPE)
    if done.returncode != 0:
        print(f"the fuzz target ended with {done.returncode}", file=sys.stderr)
        return 1
    found: dict[str, Any] = {
        "machine": {"cpu": machine()["cpu"], "system": f"{platform.system()} {platform.machine()}"},
        "command": shlex.join(["python", "-m", "tests.fuzz.native", *sys.argv[1:]]),
        "findings": 0,  # the first one would have ended it
        **json.loads(done.stdout),
    }
    text = json.dumps(found, indent=1)
    print(text)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
