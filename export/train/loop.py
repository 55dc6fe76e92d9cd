"""The training loop: schedule, averaging of weights, checkpoints, validation, log."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fcmrt.export.codec import FeatureCodec
from fcmrt.export.codecs import Config, config_from, family_of, make_codec
from fcmrt.export.train.loss import Distortion, Energies, Head, distortion, total_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcmrt.export.train.data import FeatureSource

QUALITIES = (-20, 20)
VALIDATION_QUALITIES = (-20, -10, 0, 10, 20)
VALIDATION_STEP = -1000  # the "step" whose random inputs are validated on; never trained on
STATISTICS_STEP = -2
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Everything that decides the result, besides the pictures."""

    steps: int
    batch: int = 8
    lr: float = 8e-4
    prior_lr_factor: float = 10.0
    # the tables of z learn so many times faster than the networks
    seed: int = 0
    distortion_weight: float = 3.0
    # weight of the distortion at step 1 ("lambda")
    warmup: int = 200
    # steps of linear warm-up
    decay: float = 0.4
    # share of the steps, at the end, over which the rate of learning falls to 2 %
    polish: float = 0.05
    # share of the steps, at the very end, that train only the entropy model, on real rounding
    clip: float = 1.0
    # gradient norm
    ema: float = 0.998
    # decay of the averaged weights
    validate_every: int = 500
    validation_crops: int = 16
    statistics_crops: int = 64
    checkpoint_s: float = 300.0
    # seconds between checkpoints


def learning_rate(options: TrainOptions, step: int) -> float:
    """Warm-up, constant, cosine decay to 2 %; the polish has a decay of its own."""
    polish_start = polish_step(options)
    if step >= polish_start:
        left = 1 - (step - polish_start) / max(1, options.steps - polish_start)
        return 0.25 * options.lr * left
    decay_start = options.steps * (1 - options.decay)
    if step < decay_start:
        return options.lr * min(1.0, (step + 1) / options.warmup)
    done = (step - decay_start) / max(1.0, polish_start - decay_start)
    return options.lr * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def polish_step(options: TrainOptions) -> int:
    """First step that trains the entropy model only."""
    return round(options.steps * (1 - options.polish))


def draw_qualities(seed: int, step: int, batch: int) -> Tensor:
    """One integer quality per picture, spread evenly over the range: int64 `[batch]`."""
    rng = np.random.default_rng([seed, step, 1])
    low, high = QUALITIES
    spread = (np.arange(batch) + rng.random(batch)) / batch
    return torch.from_numpy(rng.permutation(low + (spread * (high - low + 1)).astype(np.int64)))


class Trainer:
    """Trains one codec.

    Args:
        config: Sizes of the codec.
        options: How to train.
        source: Where features come from.
        head: The detector's head, frozen.
        out: Folder for checkpoints, log and curves; made when missing.
    """

    def __init__(
        self,
        config: Config,
        options: TrainOptions,
        source: FeatureSource,
        head: Head,
        out: Path,
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.config, self.options, self.source, self.out = config, options, source, out
        torch.manual_seed(options.seed)
        self.model = make_codec(config).to(memory_format=torch.channels_last)
        self.average = (
            make_codec(config).to(memory_format=torch.channels_last).requires_grad_(False)
        )
        self.head = head.to(memory_format=torch.channels_last)
        self.energies = self._measure()
        self.average.load_state_dict(self.model.state_dict())
        self.average.eval()
        networks = [p for name, p in self.model.named_parameters() if "prior." not in name]
        priors = [p for name, p in self.model.named_parameters() if "prior." in name]
        groups = [
            {"params": networks, "factor": 1.0},
            {"params": priors, "factor": options.prior_lr_factor},
        ]
        self.optimiser = torch.optim.Adam(groups, lr=options.lr, foreach=True)
        self.step = 0
        self.seconds = 0.0
        self.stopping = False

    def _measure(self) -> Energies:
        """Set the normalisation of the features, and measure the energy of every level."""
        features = self._tensors(
            self.source.features(STATISTICS_STEP, self.options.statistics_crops)
        )
        with torch.no_grad():
            hidden = self.head(features).hidden
        variances = [level.var((0, 2, 3)) for level in features]
        means = [level.mean((0, 2, 3)) for level in features]
        self.model.set_feature_statistics(means, [v.sqrt() for v in variances])
        return Energies(
            torch.stack([v.mean() for v in variances]),
            torch.stack([level.var((0, 2, 3)).mean() for level in hidden]),
        )

    @staticmethod
    def _tensors(features: list[Any]) -> list[Tensor]:
        return [torch.from_numpy(f).to(memory_format=torch.channels_last) for f in features]

    def train_step(self, features: list[Tensor]) -> dict[str, float]:
        """One step of the optimiser on one batch of features; returns what is logged."""
        options = self.options
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(options, self.step) * group["factor"]
        if self.step == polish_step(options):
            self._start_polish()
        d = draw_qualities(options.seed, self.step, options.batch)
        generator = torch.Generator().manual_seed(options.seed * 1_000_003 + self.step)
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        if self.step >= polish_step(options):
            with torch.no_grad():
                latents = self.model.latents(features)
            rate_bits = self.model.entropy_forward(latents, d)
            loss = total_loss(rate_bits, torch.zeros_like(rate_bits), d, 0.0).mean()
            parts = {}
        else:
            with torch.autocast("cpu", torch.bfloat16):
                result = self.model(features, d, generator)
                lost = distortion(result.features, features, self.head, self.energies)
            rate_bits = result.bits
            loss = total_loss(rate_bits, lost.total, d, options.distortion_weight).mean()
            parts = _means(lost)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), options.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
        self._average()
        self.step += 1
        return {
            "loss": loss.item(),
            "bytes": rate_bits.mean().item() / 8,
            "gradient": norm.item(),
            **parts,
        }

    def _average(self) -> None:
        decay = min(self.options.ema, (self.step + 1) / (self.step + 10))
        ours, theirs = list(self.average.parameters()), list(self.model.parameters())
        with torch.no_grad():
            torch._foreach_lerp_(ours, theirs, 1 - decay)

    def _start_polish(self) -> None:
        """Go on from the averaged weights, with analysis and synthesis frozen."""
        self.model.load_state_dict(self.average.state_dict())
        self._freeze()

    def _freeze(self) -> None:
        for transform in self.model.transforms():
            transform.requires_grad_(False)

    @torch.no_grad()
    def validate(self) -> list[dict[str, float]]:
        """Real rounding and ideal bytes of the averaged weights, on fixed training crops."""
        options = self.options
        features = self._tensors(self.source.features(VALIDATION_STEP, options.validation_crops))
        result = []
        for d in VALIDATION_QUALITIES:
            parts = []
            for rows in _chunks(features):
                real = self.average.round_trip(rows, torch.full((len(rows[0]),), d))
                lost = _means(distortion(real.features, rows, self.head, self.energies))
                sizes = {"bytes": real.bits, "z_bytes": real.z_bits}
                parts.append(lost | {name: bits.mean().item() / 8 for name, bits in sizes.items()})
            means = {key: float(np.mean([part[key] for part in parts])) for key in parts[0]}
            result.append({"d": d, **means})
        return result

    def stop(self) -> None:
        """Make `run` save and return after the step under way."""
        self.stopping = True

    def run(self) -> None:
        """Train to the last step, then save the result."""
        options = self.options
        log = self.out / "log.jsonl"
        saved = time.monotonic()
        progress = tqdm(total=options.steps, initial=self.step, unit="step", mininterval=5.0)
        clock = time.monotonic()
        for arrays in self.source.ahead(self.step, options.steps):
            row: dict[str, Any] = self.train_step(self._tensors(arrays))
            progress.update()
            self.seconds, clock = self.seconds + time.monotonic() - clock, time.monotonic()
            if self.step % 50 == 0:
                lr = learning_rate(options, self.step - 1)
                _append(log, {"step": self.step, "lr": lr, "seconds": self.seconds, **row})
                progress.set_postfix(loss=f"{row['loss']:.3f}", bytes=f"{row['bytes']:.0f}")
            if self.step % options.validate_every == 0 or self.step == options.steps:
                _append(log, {"step": self.step, "validation": self.validate()})
                draw_curves(log, self.out / "curves.png")
            ending = self.stopping or self.step == options.steps
            if ending or time.monotonic() - saved > options.checkpoint_s:
                self.save()
                saved = time.monotonic()
            if self.stopping:
                break
        progress.close()

    def save(self) -> None:
        """Write everything that is needed to go on, in one replacement of the file."""
        state = {
            "family": family_of(self.config),
            "config": self.config.to_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        partial = self.out / (CHECKPOINT + ".part")
        torch.save(state, partial)
        partial.replace(self.out / CHECKPOINT)

    def resume(self) -> None:
        """Go on from the checkpoint in the output folder."""
        state = torch.load(self.out / CHECKPOINT, weights_only=True)
        if state["config"] != self.config.to_dict():
            raise ValueError("the checkpoint belongs to another configuration")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        if self.step > polish_step(self.options):
            self._freeze()


def load_codec(path: Path) -> FeatureCodec:
    """The averaged weights of a checkpoint, ready for export.

    Args:
        path: `checkpoint.pt` of a training run.
    """
    state = torch.load(path, weights_only=True, map_location="cpu")
    # Checkpoints written before there were families hold the first one.
    model = make_codec(config_from(state.get("family", "lmsfc-v1"), state["config"]))
    model.load_state_dict(state["average"])
    return model.eval()


def _chunks(features: list[Tensor], size: int = 4) -> Iterator[list[Tensor]]:
    for i in range(0, len(features[0]), size):
        yield [level[i : i + size] for level in features]


def _means(lost: Distortion) -> dict[str, float]:
    names = ("features", "hidden", "classes", "boxes", "nmse")
    return {name: getattr(lost, name).mean().item() for name in names}


def _append(log: Path, row: dict[str, Any]) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def draw_curves(log: Path, path: Path) -> None:
    """Draw the log: the loss, and bytes and distortion of every validated quality."""
    from matplotlib.figure import Figure

    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    trained = [row for row in rows if "loss" in row]
    validated = [row for row in rows if "validation" in row]
    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(2, 2).flat
    axes[0].plot([r["step"] for r in trained], [r["loss"] for r in trained], lw=0.5)
    axes[0].set_title("loss")
    for axis, key in zip(list(axes)[1:], ("bytes", "nmse", "classes"), strict=True):
        for i, d in enumerate(VALIDATION_QUALITIES):
            values = [row["validation"][i][key] for row in validated]
            axis.plot([row["step"] for row in validated], values, label=f"d = {d}")
        axis.set_title(f"validation: {key}")
        axis.set_yscale("log")
        axis.legend()
    figure.savefig(path, dpi=80)
