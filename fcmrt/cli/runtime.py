"""Options of how the commands run networks: library, device, arithmetic and threads."""

from __future__ import annotations

import argparse

from ..config import DEVICES, PRECISIONS, RUNNERS, RuntimeOptions


def add_runtime_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--runner`, `--device`, `--precision` and `--threads`."""
    usual = RuntimeOptions()
    group = parser.add_argument_group(
        "running the networks",
        "Packets of a same-engine codec must be decoded as they were encoded; those of an exact "
        "engine decode with any of these.",
    )
    group.add_argument(
        "--runner",
        choices=RUNNERS,
        default=usual.runner,
        help=f"library that runs the networks (default: {usual.runner})",
    )
    group.add_argument(
        "--device",
        choices=DEVICES,
        default=usual.device,
        help=f"device that runs them (default: {usual.device})",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=usual.precision,
        help="floating-point type that the runner torch computes in, except on the exact path "
        f"(default: {usual.precision})",
    )
    group.add_argument(
        "--threads",
        metavar="N",
        type=int,
        help="threads of one run (default: the library's own choice)",
    )


def options_of(args: argparse.Namespace) -> RuntimeOptions:
    """Returns what was chosen.

    Raises:
        ConfigError: The choices contradict each other.
    """
    return RuntimeOptions(
        runner=args.runner, device=args.device, precision=args.precision, threads=args.threads
    )
