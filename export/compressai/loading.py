"""Weights into models that are made over CompressAI."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from fcmrt.errors import ExportError

from ..foreign_state import COMPRESSAI_DERIVED
from ..scale_index import check_scale_table

State = Mapping[str, Tensor]


def filled(name: str, make: Callable[[State], nn.Module], state: State) -> nn.Module:
    """Returns a model with the weights of a checkpoint.

    Args:
        name: The codec's, for errors.
        make: Makes the model, of the sizes that the weights have; a missing key is a `KeyError`.
        state: Untrusted, by the model's keys. Constants and tables may be missing or left over.

    Returns:
        The model in evaluation mode, float32; its parameters do not train.

    Raises:
        ExportError: The weights are of another model, or of other deviations than CompressAI's.
    """
    for key, value in state.items():
        if key.endswith("gaussian_conditional.scale_table"):
            check_scale_table(value)
    try:
        model = make(state)
        model.load_state_dict(_with_constants_of(model, state))
    except (KeyError, IndexError, TypeError, RuntimeError, AssertionError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ExportError(f"the checkpoint is not of {name}: {why}") from error
    return model.float().requires_grad_(False).eval()


def _with_constants_of(model: nn.Module, state: State) -> dict[str, Tensor]:
    """The weights, with a model's own constants where a checkpoint has none.

    Constants and tables do not come from training. Versions of CompressAI differ in which they
    have, and some do not save them.
    """
    known = model.state_dict()
    own = {key: value for key, value in known.items() if COMPRESSAI_DERIVED.search(key)}
    kept = {k: v for k, v in state.items() if k in known or not COMPRESSAI_DERIVED.search(k)}
    return own | kept
