"""`fcmrt build`: TensorRT plans of an engine's graphs, built and kept in the cache."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .inputs import add_engine_operand, load_engine
from .text import print_json, size, table

if TYPE_CHECKING:
    from ..engine import Engine
    from ..plans import Plan, PlanCache, PlanRecord, SizeRange

LIBRARY_NAMES = ("tensorrt", "tensorrt-rtx")

_BUILT_HEAD = ("graph", "target", "", "bytes", "seconds", "key")
_LISTED_HEAD = ("graph", "target", "library", "profiles", "bytes", "key")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_engine_operand(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--target",
        metavar="SM[,SM...]",
        help="compute capabilities of the GPUs to build for, such as sm_89,sm_120",
    )
    what.add_argument(
        "--list", action="store_true", help="build nothing; list the engine's plans in the cache"
    )
    parser.add_argument(
        "--size",
        metavar="HxW",
        action="append",
        help="size of the finest feature level in cells, such as 52x52, before padding; or a "
        "range, LEAST..BEST..MOST, such as 16x16..52x52..104x104. May be given several times: "
        "each is a profile of the plan (default: the sizes in the engine's card)",
    )
    parser.add_argument(
        "--graph",
        metavar="NAME",
        action="append",
        help="build only this graph; may be given several times",
    )
    parser.add_argument(
        "--library",
        choices=LIBRARY_NAMES,
        help="library that builds (default: the one that is installed)",
    )
    parser.add_argument(
        "--tf32",
        action="store_true",
        help="compute float32 faster, with 10 bits of mantissa; graphs that lead to means and "
        "indexes never do",
    )
    parser.add_argument(
        "--level",
        metavar="N",
        type=int,
        help="optimisation level, 0 (builds fast) to 5 (runs fast)",
    )
    parser.add_argument(
        "--workspace", metavar="MIB", type=int, help="most working memory of one kernel, in MiB"
    )
    parser.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="where plans are kept; without it, $FCMRT_CACHE_DIR or the user's cache folder",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Builds what the cache does not have, or lists what it has."""
    from ..plans import BuildOptions, PlanCache, build_plans, engine_plans, find_library

    engine = load_engine(args.engine)
    cache = PlanCache(args.cache_dir)
    if args.list:
        _show_list(args, cache, engine_plans(engine, cache))
        return 0
    options = BuildOptions(
        tf32=args.tf32,
        optimization_level=args.level,
        workspace_bytes=None if args.workspace is None else args.workspace << 20,
    )
    sizes = _sizes(args.size, engine)
    plans = build_plans(
        engine,
        find_library(args.library),
        args.target.split(","),
        sizes,
        cache=cache,
        options=options,
        graphs=args.graph,
        progress=lambda text: print(text, file=sys.stderr) if sys.stderr.isatty() else None,
    )
    if args.json:
        print_json({"cache": str(cache.folder), "plans": [_plan_value(plan) for plan in plans]})
    else:
        print(f"plans in {cache.folder}, sizes {', '.join(map(str, plans[0].sizes))}")
        rows = [_BUILT_HEAD, *(_plan_row(plan) for plan in plans)]
        print(table(rows, indent=2, right=(3, 4)))
    return 0


def _sizes(given: Sequence[str] | None, engine: Engine) -> Sequence[SizeRange]:
    from ..plans import SizeRange, card_sizes

    sizes = [SizeRange.parse(text) for text in given or ()] or card_sizes(engine.manifest)
    if not sizes:
        finest = next(level.name for level in engine.manifest.features if level.stride == 1)
        raise ConfigError(
            "plans are built for known sizes, and this engine's card has none: give --size HxW, "
            f"the height and width of {finest} in cells, such as --size 52x52"
        )
    return sizes


def _plan_row(plan: Plan) -> tuple[str, ...]:
    seconds = f"{plan.record.milliseconds / 1000:.1f}"
    state = "built" if plan.built else "in cache"
    return plan.graph, plan.target, state, size(plan.record.bytes), seconds, plan.record.key[:16]


def _plan_value(plan: Plan) -> dict[str, Any]:
    return {
        "graph": plan.graph,
        "target": plan.target,
        "sizes": [str(one) for one in plan.sizes],
        "built": plan.built,
        **_record_value(plan.record),
    }


def _record_value(record: PlanRecord) -> dict[str, Any]:
    return {
        "path": str(record.path),
        "sha256": record.sha256,
        "bytes": record.bytes,
        "milliseconds": record.milliseconds,
        "ingredients": dict(record.ingredients),
    }


def _show_list(
    args: argparse.Namespace, cache: PlanCache, found: Sequence[tuple[str, PlanRecord]]
) -> None:
    if args.json:
        plans = [{"graph": graph, **_record_value(record)} for graph, record in found]
        print_json({"cache": str(cache.folder), "plans": plans})
    elif not found:
        print(f"no plans of this engine in {cache.folder}")
    else:
        print(f"plans in {cache.folder}")
        rows = [_LISTED_HEAD, *(_listed_row(graph, record) for graph, record in found)]
        print(table(rows, indent=2, right=(3, 4)))


def _listed_row(graph: str, record: PlanRecord) -> tuple[str, ...]:
    made_of = record.ingredients
    library = made_of["library"]
    return (
        graph,
        made_of["target"],
        f"{library['name']} {library['version']}",
        str(len(made_of["profiles"])),
        size(record.bytes),
        record.key[:16],
    )
