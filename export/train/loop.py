"""The training loop: averaging of weights, checkpoints, validation."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fcmrt.export.codecs import Config, family_of, make_codec
from fcmrt.export.levels import LevelCodecs
from fcmrt.export.train.log import Log
from fcmrt.export.train.loss import (
    TaskHead,
    distortion,
    energies_of,
    feature_distortion,
    feature_statistics,
    rate_loss,
    total_loss,
)
from fcmrt.export.train.priors import fit_priors
from fcmrt.export.train.schedule import (
    TrainOptions,
    draw_qualities,
    is_polish,
    learning_rate,
    share_done,
)
from fcmrt.export.train.source import STATISTICS_STEP, VALIDATION_STEP, Features, Source
from fcmrt.export.train.weights import levels_that_fit, load_codec

VALIDATION_QUALITIES = (-20, -10, 0, 10, 20)
CHECKPOINT = "checkpoint.pt"


class Trainer:
    """Trains one codec.

    Args:
        config: Sizes of the codec.
        options: How to train.
        source: Where features come from.
        head: The task network's head, frozen.
        out: Folder for checkpoints, log and curves; made when missing.
        device: Where codec and head are.
    """

    def __init__(
        self,
        config: Config,
        options: TrainOptions,
        source: Source,
        head: TaskHead[Any],
        out: Path,
        device: torch.device | str = "cpu",
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.config, self.options, self.source, self.out = config, options, source, out
        self.device = torch.device(device)
        place: dict[str, Any] = {"device": self.device, "memory_format": torch.channels_last}
        torch.manual_seed(options.seed)
        self.model = make_codec(config).to(**place)
        self.average = make_codec(config).to(**place).requires_grad_(False)
        self.head = head.to(**place)
        statistics = self._statistics()
        if options.only:
            self._train_only(options.only)
        self.model.set_feature_statistics(*feature_statistics(statistics, head.robust))
        self.energies = energies_of(self.head, statistics)
        self.average.load_state_dict(self.model.state_dict())
        self.average.eval()
        parameters = dict(self.model.named_parameters())
        networks, priors = _groups(parameters)
        groups = [
            {"params": [parameters[name] for name in networks], "factor": 1.0},
            {"params": [parameters[name] for name in priors], "factor": options.prior_lr_factor},
        ]
        self.optimiser = torch.optim.Adam(groups, lr=options.lr, foreach=True)
        self.step = 0
        self.seconds = 0.0  # of training so far, resumed runs included
        self.polishing = False  # then analysis and synthesis are frozen
        self.stopping = False

    def _train_only(self, levels: tuple[int, ...]) -> None:
        for codec in (self.model, self.average):
            if not isinstance(codec, LevelCodecs):
                raise ValueError("this codec has no levels that could be trained alone")
            codec.train_only(levels)

    @property
    def share(self) -> float:
        """Share of the training that is done."""
        return share_done(self.options, self.step, self.seconds)

    def _tensors(self, features: Features) -> list[Tensor]:
        """Features as the networks take them, on the device."""
        tensors = [torch.from_numpy(level) for level in features]
        if self.device.type == "cuda":
            tensors = [level.pin_memory() for level in tensors]
        return [
            level.to(self.device, non_blocking=True)
            .float()
            .contiguous(memory_format=torch.channels_last)
            for level in tensors
        ]

    def _statistics(self) -> list[Tensor]:
        """Features of the crops that statistics are computed from."""
        return self._tensors(self.source.features(STATISTICS_STEP, self.options.statistics_crops))

    def train_step(self, features: list[Tensor]) -> dict[str, Tensor]:
        """Takes one step of the optimiser on one batch of features; returns scalars for the log."""
        options, share = self.options, self.share
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(options, self.step, share) * group["factor"]
        if is_polish(options, share) and not self.polishing:
            self._start_polish()
        levels = len(features) if self.model.levels_have_quality else None
        d = draw_qualities(options.seed, self.step, len(features[0]), levels).to(self.device)
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        if self.polishing:
            with torch.no_grad():
                latents = self.model.latents(features)
            bits = self.model.entropy_forward(latents, d)
            loss, parts = rate_loss(bits, d).mean(), {}
        else:
            seed = options.seed * 1_000_003 + self.step
            generator = torch.Generator(self.device).manual_seed(seed)
            with torch.autocast(self.device.type, torch.bfloat16):
                coded = self.model(features, d, generator)
                seen = feature_distortion if share < options.features_first else distortion
                lost = seen(coded.features, features, self.head, self.energies)
            bits = coded.bits
            loss = total_loss(coded, lost, d, options.distortion_weight).mean()
            parts = lost.means()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), options.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
        self._average()
        self.step += 1
        scalars = {"loss": loss, "bytes": bits.mean() / 8, "gradient": norm}
        return {name: value.detach() for name, value in scalars.items()} | parts

    def _average(self) -> None:
        decay = min(self.options.ema, (self.step + 1) / (self.step + 10))
        ours, theirs = list(self.average.parameters()), list(self.model.parameters())
        with torch.no_grad():
            torch._foreach_lerp_(ours, theirs, 1 - decay)

    def _start_polish(self) -> None:
        """Continues from the averaged weights, with analysis and synthesis frozen."""
        self.model.load_state_dict(self.average.state_dict())
        self._freeze()

    def _freeze(self) -> None:
        self.polishing = True
        for transform in self.model.transforms():
            transform.requires_grad_(False)

    def _fit_priors(self) -> None:
        statistics = self._statistics()
        if isinstance(self.average, LevelCodecs) and self.options.only:
            for level, codec in self.average.trained():
                fit_priors(codec, [statistics[level]])
        else:
            fit_priors(self.average, statistics)

    @torch.no_grad()
    def validate(self) -> list[dict[str, float]]:
        """Measures the averaged weights on fixed training crops: real rounding, ideal bytes."""
        options = self.options
        features = self._tensors(self.source.features(VALIDATION_STEP, options.validation_crops))
        result = []
        for d in VALIDATION_QUALITIES:
            parts = []
            for rows in _chunks(features):
                quality = torch.full((len(rows[0]),), d, device=self.device)
                real = self.average.round_trip(rows, quality)
                lost = distortion(real.features, rows, self.head, self.energies).means()
                sizes = {"bytes": real.bits.mean() / 8, "z_bytes": real.z_bits.mean() / 8}
                parts.append(lost | sizes)
            means = {key: float(np.mean([part[key].item() for part in parts])) for key in parts[0]}
            result.append({"d": d, **means})
        return result

    def stop(self) -> None:
        """Makes `run` save and return after the current step."""
        self.stopping = True

    def run(self) -> None:
        """Trains to the last step, or until time is up, then saves the result."""
        options = self.options
        log = Log(self.out)
        progress = tqdm(total=options.steps, initial=self.step, unit="step", mininterval=5.0)
        saved = clock = time.monotonic()
        for arrays in self.source.ahead(self.step, options.steps):
            lr = learning_rate(options, self.step, self.share)
            scalars = self.train_step(self._tensors(arrays))
            progress.update()
            self.seconds, clock = self.seconds + time.monotonic() - clock, time.monotonic()
            ended = self.share >= 1
            if self.step % 50 == 0:
                row = {name: value.item() for name, value in scalars.items()}
                log.append({"step": self.step, "lr": lr, "seconds": self.seconds, **row})
                progress.set_postfix(loss=f"{row['loss']:.3f}", bytes=f"{row['bytes']:.0f}")
            if ended and self.polishing:
                self._fit_priors()
            if self.step % options.validate_every == 0 or ended:
                validated = {"validation": self.validate(), "seconds": self.seconds}
                log.append({"step": self.step, **validated})
                log.draw()
            if self.stopping or ended or time.monotonic() - saved > options.checkpoint_s:
                self.save()
                saved = time.monotonic()
            if self.stopping or ended:
                break
        progress.close()

    def save(self) -> None:
        """Writes everything that is needed to continue, replacing the file in one step."""
        state = {
            "family": family_of(self.config),
            "config": self.config.to_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "polishing": self.polishing,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        partial = self.out / (CHECKPOINT + ".part")
        torch.save(state, partial)
        partial.replace(self.out / CHECKPOINT)

    def resume(self) -> None:
        """Continues from the checkpoint in the output folder, whatever device it was made on."""
        path = self.out / CHECKPOINT
        state = torch.load(path, weights_only=True, map_location=self.device)
        if state["config"] != self.config.to_dict():
            raise ValueError("the checkpoint belongs to another configuration")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(self._reordered(state["optimiser"], state["model"]))
        self.step, self.seconds = state["step"], state["seconds"]
        # Checkpoints written before runs could be limited in time follow the steps.
        before = share_done(self.options, self.step - 1, 0.0)
        polishing = state.get("polishing", is_polish(self.options, before))
        if polishing and is_polish(self.options, self.share):
            self._freeze()

    def _reordered(self, optimiser: dict[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
        """The optimiser's state, which goes by position, in the order of today's parameters."""
        names = [name for name, _ in self.model.named_parameters()]
        before = [*itertools.chain(*_groups(name for name in saved if name in set(names)))]
        state = {before[position]: value for position, value in optimiser["state"].items()}
        now = enumerate(itertools.chain(*_groups(names)))
        return optimiser | {"state": {i: state[name] for i, name in now if name in state}}

    def start_from(self, path: Path) -> None:
        """Starts from the averaged weights and the normalisation of another run.

        Where each level has a codec, those whose sizes differ in that run start anew.

        Args:
            path: As for `load_codec`.

        Raises:
            ValueError: No level's sizes are the same, or the codec is another.
        """
        weights, own = load_codec(path).state_dict(), self.model.state_dict()
        if isinstance(self.model, LevelCodecs):
            weights = levels_that_fit(weights, own)
        elif {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in own.items()}:
            raise ValueError(f"{path} is of another codec, or of one of other sizes")
        for codec in (self.model, self.average):
            codec.load_state_dict(codec.state_dict() | weights)


def _groups(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The networks' parameters, and those of priors, by name."""
    names = list(names)
    priors = [name for name in names if "prior." in name]
    return [name for name in names if "prior." not in name], priors


def _chunks(features: list[Tensor], size: int = 4) -> Iterator[list[Tensor]]:
    for i in range(0, len(features[0]), size):
        yield [level[i : i + size] for level in features]
