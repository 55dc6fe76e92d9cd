"""The codec families that export knows, by name; any others, by the name of a function.

A family is a function from a checkpoint to a `Deployment` (`docs/adding-a-codec.md`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from fcmrt.errors import ExportError
from fcmrt.export.named import import_named

if TYPE_CHECKING:
    from .deployment import Deployment


class Deploy(Protocol):
    """What makes a family."""

    def __call__(self, checkpoint: Mapping[str, Any], /, **options: Any) -> Deployment:
        """Returns how the codec of a checkpoint is run.

        Args:
            checkpoint: As `read_checkpoint` returns it; untrusted.
            **options: What the family lets users choose, such as `level_names`.

        Raises:
            ExportError: It is not a codec of this family, or cannot be run packet by packet; the
                text says why, and what to export instead.
        """


@dataclass(frozen=True, slots=True)
class Family:
    """An entry of the list."""

    summary: str
    """One line, for people."""
    function: str
    """Where it is: `module:function`, imported when used."""


TRAINED = "fcmrt.export.trained:deploy"

_COMPRESSAI = "fcmrt.export.compressai.families"
_COMPRESSAI_MODELS = (
    "bmshj2018-factorized",
    "bmshj2018-factorized-relu",
    "bmshj2018-hyperprior",
    "mbt2018-mean",
    "cheng2020-anchor-checkerboard",
    "elic2022-official",
)
_COMPRESSAI_VARIABLE = ("bmshj2018-hyperprior-vbr", "mbt2018-mean-vbr")
_COMPRESSAI_REFUSED = ("mbt2018", "cheng2020-anchor", "cheng2020-attn", "mbt2018-vbr")


def _compressai(name: str) -> str:
    return f"{_COMPRESSAI}:{name.replace('-', '_')}"


FAMILIES: dict[str, Family] = {
    "trained": Family(
        "any codec that fcmrt.export.train has trained; the checkpoint says which", TRAINED
    ),
    "lmsfc-v1": Family(
        "L-MSFC without context model, checkpoints of its authors",
        "fcmrt.export.lmsfc_published_engine:deploy",
    ),
    "lmsfc-v2": Family(
        "L-MSFC v2 with gains, of three or four levels, checkpoints of its authors",
        "fcmrt.export.lmsfc_v2_engine:deploy",
    ),
    "lic-tcm": Family(
        "LIC-TCM for pictures, in its authors' checkpoints: small, middle or large",
        "fcmrt.export.lictcm_engine:deploy",
    ),
    **{
        name: Family("CompressAI's model of that name, its own checkpoints", _compressai(name))
        for name in _COMPRESSAI_MODELS
    },
    "elic2022-chandelier": Family(
        "CompressAI's model of that name, its own checkpoints and those of the public ELIC that it "
        "was made of",
        _compressai("elic2022-chandelier"),
    ),
    "elic2022-jiang": Family(
        "the public ELIC of ten groups (JiangWeibeta/ELIC), its checkpoints",
        "fcmrt.export.compressai.jiang:deploy",
    ),
    **{
        name: Family(
            "CompressAI's model of that name, its own checkpoints; those that it publishes make "
            "engines of one rate",
            _compressai(name),
        )
        for name in _COMPRESSAI_VARIABLE
    },
    "mosaic": Family(
        "a codec of pictures for features, whose levels are tiled into pictures",
        "fcmrt.export.mosaic_engine:deploy",
    ),
}

REFUSED: dict[str, str] = {name: _compressai(name) for name in _COMPRESSAI_REFUSED}
"""Codecs that cannot be run packet by packet, and the functions that say why."""


def names_of_levels(given: Sequence[str] | None, known: Sequence[str]) -> Sequence[str]:
    """Returns the names that a codec's levels get.

    Args:
        given: What the user chose, if anything.
        known: What they are called otherwise, one for each level.

    Raises:
        ExportError: There are not as many names as levels.
    """
    names = known if given is None else given
    if len(names) != len(known):
        raise ExportError(f"{len(names)} names for levels; the codec has {len(known)}")
    return names


def find_family(name: str) -> Deploy:
    """Finds a family's function.

    Args:
        name: One of `FAMILIES`, or `module:function` of your own, which is imported.

    Raises:
        ExportError: There is none of that name, or no such function.
        ImportError: A package that it needs is not installed.
    """
    where = FAMILIES[name].function if name in FAMILIES else REFUSED.get(name, name)
    unknown = (
        f"codec {name!r} is not known; there are {', '.join(FAMILIES)}, or the name of a "
        "function, as in my_package.my_codec:deploy"
    )
    return cast("Deploy", import_named("codec", name, where, unknown))
