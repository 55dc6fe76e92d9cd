"""The command line, one module per subcommand.

Each module has `add_arguments(parser)` and `run(args) -> int`, and is imported only when its
subcommand is called: `fcmrt inspect` needs neither onnxruntime nor Pillow.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

from ..errors import FcmrtError
from .text import printable

COMMANDS = {
    "encode": "code features or pictures into an .fcm file",
    "decode": "get the features back out of an .fcm file",
    "inspect": "show what is in an engine, an .fcm file, a header or a packet",
    "export": "turn a trained codec's checkpoint into an engine file",
    "build": "build TensorRT plans of an engine's graphs, for GPUs that need not be here",
    "verify": "compare every way to run an engine here with the reference, stage by stage",
    "doctor": "report what works on this machine, and why the rest does not",
    "demo": "a photo through a split detector, with and without the codec",
}


class _Version(argparse.Action):
    """Prints the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from .. import __version__

        print(f"fcmrt {__version__}")
        parser.exit()


def make_parser(command: str | None) -> argparse.ArgumentParser:
    """Makes the parser.

    Args:
        command: The subcommand that gets its arguments; None or an unknown name: none does.
    """
    parser = argparse.ArgumentParser(
        prog="fcmrt",
        description="Deployment runtime for learned feature codecs.",
        epilog="'fcmrt COMMAND --help' says more about one command.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=f"{name}: {summary}.")
        if name == command:
            importlib.import_module(f".{name}", __name__).add_arguments(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The arguments without the program's name; None takes those of the process.

    Returns:
        The exit code: 0 on success; 1 if the command ran and found something wrong; 2 if it
        failed, wholly or in part (one line on standard error says why); 130 if interrupted.

    Raises:
        SystemExit: From argparse: help, version, or wrong usage.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in arguments if word in COMMANDS), None)
    args = make_parser(command).parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # otherwise there is none, or it is a caller's
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = importlib.import_module(f".{args.command}", __name__).run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(code)
    except BrokenPipeError as error:
        if error.filename is not None:  # the pipe was the command's output file
            return _failed(args.command, error)
        # The reader of our output has gone (a pager, `head`): nothing is wrong. Standard output
        # is pointed elsewhere so that the interpreter's last flush does not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (FcmrtError, OSError, MemoryError) as error:
        return _failed(args.command, error)
    except KeyboardInterrupt:
        print(f"fcmrt {args.command}: interrupted", file=sys.stderr)
        return 130


def _failed(command: str, error: Exception) -> int:
    """Reports why a command failed, and returns its exit code."""
    print(f"fcmrt {command}: error: {_one_line(error)}", file=sys.stderr)
    return 2


def _one_line(error: Exception) -> str:
    """Puts an error's text on one line; that of an `OSError` as `FILE: reason`."""
    if isinstance(error, MemoryError):
        return (
            f"there is not enough memory: {error}" if str(error) else "there is not enough memory"
        )
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return printable(f"{error.filename}: {error.strerror}")
    return printable(" ".join(str(error).split()))
