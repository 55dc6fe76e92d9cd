"""Renders docs/codecs.md: support_page.md, what was measured, and the list of families.

python -m benchmarks.support_page [--json PATH] [--out PATH]
"""

from __future__ import annotations

import argparse
import json
import re
import string
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcmrt.export.families import FAMILIES, REFUSED

from .support import BUILT, PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .report import Row

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "support.json"
TEMPLATE = Path(__file__).with_suffix(".md")
PAGE = ROOT / "docs" / "codecs.md"

PRECISION_WORDS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8"}
RUNNER_WORDS = {"onnxruntime": "ONNX Runtime", "torch": "PyTorch", "reference": "reference"}
CUDA = "torch on CUDA"
LONGEST = 320  # characters of a refusal that are shown
PADDING_WORDS = {"reflect": "mirrored", "replicate": "repeated", "zero": "zeros"}
MECHANISM_WORDS = {"step": "the quantiser's step", "gain": "gains"}
ALIGN_WORDS = {"start": "below and right", "center": "on all sides"}

RASTER = (
    f"**Codecs that decode one cell after another** ({', '.join(f'`{name}`' for name in REFUSED)} "
    "of CompressAI): each cell takes a run of a network, which no runtime makes fast. Use one "
    "whose cells are decoded together, such as `mbt2018-mean` or `cheng2020-anchor-checkerboard`."
)
GPU = "**GPUs**: none has run any of this. Plans are built without one."


def render(found: Mapping[str, Any]) -> str:
    """Make the page.

    Args:
        found: The object that `benchmarks.support` writes.

    Returns:
        Markdown, with a newline at its end.
    """
    rows: Sequence[Row] = found["rows"]
    names = [(f"`{name}`", family.summary) for name, family in FAMILIES.items()]
    page = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        names=_table(("name", "what it is"), names),
        families=_families(rows),
        missing=_missing(rows),
        precisions="\n\n".join(_precision(found, precision) for precision in PRECISIONS),
        origin=_origin(found),
        cannot="\n".join(f"- {item}" for item in _refusals(found)),
    )
    return re.sub(r"\n{3,}", "\n\n", page)  # what had nothing to say


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    first, *others = (f"| {' | '.join(line)} |" for line in (head, *lines))
    return "\n".join((first, "|" + "---|" * len(head), *others))


def _by_family(rows: Sequence[Row]) -> dict[str, list[Row]]:
    families: dict[str, list[Row]] = {}
    for row in rows:
        families.setdefault(row["family"], []).append(row)
    return families


def _families(rows: Sequence[Row]) -> str:
    lines = []
    for name, own in _by_family(rows).items():
        first = own[0]
        profiles = dict.fromkeys(row["profile"] for row in own if row["works"])
        padding = first["padding"]
        lines.append(
            (
                f"`{name}`",
                first["summary"],
                f"`{first['codec']}`",
                _quality(first),
                str(first["graphs"]),
                str(first["code_steps"]),
                f"{padding['multiple']}, {PADDING_WORDS[padding['mode']]} "
                f"{ALIGN_WORDS[padding['align']]}",
                ", ".join(f"`{profile}`" for profile in sorted(profiles)),
            )
        )
    head = "family", "what it is", "`--codec`", "quality", "graphs", "code steps", "padding"
    return _table((*head, "profiles"), lines)


def _quality(row: Row) -> str:
    count = row["qualities"]
    if count == 1:
        return "one, fixed"
    return f"{count}, by {MECHANISM_WORDS[row['mechanism']]}"


def _missing(rows: Sequence[Row]) -> str:
    measured = {row["codec"] for row in rows}
    missing = [name for name in FAMILIES if name not in measured]
    if not missing:
        return ""
    listed = ", ".join(f"`{name}`" for name in missing)
    return (
        f"Not measured here yet: {listed}. What needs packages of its own, as CompressAI's models "
        "do, is measured where they are installed, and its rows are added: "
        "`python -m benchmarks.support --family NAME --add --json benchmarks/results/support.json`."
    )


def _precision(found: Mapping[str, Any], precision: str) -> str:
    rows = [row for row in found["rows"] if row.get("precision") == precision]
    runners = list(dict.fromkeys(row["runner"] for row in rows))
    lines = []
    for name, own in _by_family(rows).items():
        for profile in dict.fromkeys(row["profile"] for row in own):
            cells = {row["runner"]: row for row in own if row["profile"] == profile}
            shown = [_cell(cells.get(runner)) for runner in runners if runner != CUDA]
            plan = next(iter(cells.values()))["plan"]
            lines.append((f"`{name}`", f"`{profile}`", *shown, _plan(plan), _cell(cells.get(CUDA))))
    versions = found["versions"]
    heads = [
        " ".join(filter(None, (RUNNER_WORDS[runner], versions.get(runner))))
        for runner in runners
        if runner != CUDA
    ]
    head = ("family", "profile", *heads, _plan_head(found["plans"]), "CUDA")
    return f"### {PRECISION_WORDS[precision]}\n\n{_table(head, lines)}"


def _plan_head(plans: Mapping[str, Any] | None) -> str:
    return "plan" if plans is None else f"plan, {plans['name']} {plans['version']}"


def _plan(words: str | None) -> str:
    if words is None:
        return "not built"
    return "built" if words == BUILT else "refused"


def _cell(row: Row | None) -> str:
    if row is None:
        return "not run"
    if not row["works"]:
        return "refused"
    symbols = f"{_count(row['differing'])} of {_count(row['symbols'])}"
    if row["ties"]:
        symbols += f" ({row['ties']} tie{'s' if row['ties'] > 1 else ''})"
    # The reference is what exact graphs are compared with.
    known = None if row["runner"] == "reference" else row["exact"]
    exact = {True: ["exact"], False: ["**not exact**"], None: []}[known]
    return ", ".join([*exact, _scientific(row["difference"]), symbols])


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _scientific(number: float) -> str:
    if not number:
        return "0"
    mantissa, exponent = f"{number:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _origin(found: Mapping[str, Any]) -> str:
    machine = found["machine"]
    target = "" if found["plans"] is None else f", plans for {found['plans']['target']}"
    text = (
        f"Measured on {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, each "
        f"runner on one thread{target}. The reference computes exact graphs in NumPy and the "
        "others in PyTorch's float64, in which float16 and bfloat16 round weights only."
    )
    for run in found.get("earlier", []):
        versions = ", ".join(
            f"{name} {run['versions'][name]}" for name in ("onnxruntime", "torch", "numpy")
        )
        listed = ", ".join(f"`{name}`" for name in run["families"])
        text += f" The rows of {listed} are of another run: {versions}."
    return text


def _refusals(found: Mapping[str, Any]) -> list[str]:
    """What was refused, each with the first words that said so."""
    profiles: dict[str, list[str]] = {}
    others: dict[str, tuple[list[str], str]] = {}
    for row in found["rows"]:
        if row.get("precision") is None:
            profiles.setdefault(row["why"], []).append(f"`{row['family']}` as `{row['profile']}`")
            continue
        what = PRECISION_WORDS[row["precision"]]
        said = []
        if not row["works"]:
            said.append((f"{what} on {RUNNER_WORDS.get(row['runner'], row['runner'])}", row["why"]))
        if row["plan"] not in (None, BUILT):
            said.append((f"Plans in {what}", row["plan"]))
        for subject, words in said:
            families, _ = others.setdefault(subject, ([], words))
            if row["family"] not in families:
                families.append(row["family"])
    every = list(_by_family(found["rows"]))
    items = [f"**{', '.join(names)}**: {words}." for words, names in profiles.items()]
    for subject, (families, words) in others.items():
        which = "every family" if families == every else ", ".join(f"`{f}`" for f in families)
        shown = textwrap.shorten(words, LONGEST, placeholder=" ...")
        items.append(f"**{subject}**, {which}. In its words, for `{families[0]}`: {shown}")
    cuda = any(row.get("runner") == CUDA for row in found["rows"])
    return [*items, RASTER, *([] if cuda else [GPU])]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.support_page", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", metavar="PATH", type=Path, default=RESULTS, help="what to render")
    parser.add_argument("--out", metavar="PATH", type=Path, default=PAGE, help="page to write")
    arguments = parser.parse_args(argv)
    found = json.loads(arguments.json.read_text(encoding="utf-8"))
    arguments.out.write_text(render(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
