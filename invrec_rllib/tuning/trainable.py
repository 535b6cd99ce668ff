"""A trial of a sweep: the pair under Tune, from one evaluation to the next."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import pyarrow.fs
from ray import tune

from invrec_rllib.learning_pair import FIRST_RESUMED_STREAM, LearningPair
from invrec_rllib.rllib.seeding import TRAINING_STREAM
from invrec_rllib.rundir import describe_machine
from invrec_rllib.scenario import Scenario
from invrec_rllib.seals import SEAL, damage, seal
from invrec_rllib.tuning.folder import CHECKPOINT
from invrec_rllib.tuning.sweep import Sweep

POSITION = "trial.json"
"""Where a checkpoint says how far the trial was."""


class DamagedError(Exception):
    """A checkpoint is not what was written."""


class PairTrainable(tune.Trainable):
    """Trains until the pair is evaluated, and reports what it earned.

    Overrides Tune's own steps of a trial alone: set-up, step, checkpoints, a new configuration in the same process,
    and the end.
    """

    sweep: ClassVar[Sweep]
    worlds: ClassVar[Mapping[str, Scenario]]

    @classmethod
    def of(cls, sweep: Sweep) -> type[PairTrainable]:
        """The trainable of a sweep; Tune sends it to the workers by value, with the sweep and its worlds in it.

        Raises:
            ScenarioError: a scenario of the sweep is neither a preset nor a file, or not valid.
        """
        return type(cls.__name__, (cls,), {"sweep": sweep, "worlds": sweep.worlds()})

    @classmethod
    def pair(
        cls,
        config: Mapping[str, Any],
        *,
        stream: int = TRAINING_STREAM,
        versions: Mapping[str, Any] | None = None,
    ) -> LearningPair:
        """The pair of a trial, not built yet; arguments as those of `LearningPair`."""
        settings = cls.sweep.settings(config)
        return LearningPair(
            settings, cls.worlds[settings.scenario], stream=stream, versions=versions, tell=print
        )

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What a trial takes, its runners and learners included."""
        return cls.pair(config).placement()

    def setup(self, config: dict[str, Any]) -> None:
        """Prepare a trial; the algorithm is built when it is known whether it starts from a checkpoint."""
        self._config, self._versions = dict(config), describe_machine()["versions"]
        self._pair: LearningPair | None = None
        self._attempts, self._best, self._last = 0, -math.inf, dict[str, Any]()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Be another trial, in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train until the next evaluation.

        Returns:
            Money per episode, work and time; see `trials.csv`.
        """
        pair = self._built()
        # A trial may be restored after its last iteration, when the driver died before it noted the end.
        while pair.iterations < pair.settings.iterations:
            row, _ = pair.iterate()
            if row["profit_eval_mean"] is not None:
                self._note(row)
                break
        return {**self._last, "done": pair.iterations >= pair.settings.iterations}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Fill a folder with the algorithm and how far the trial is, sealed with checksums."""
        folder, pair = Path(checkpoint_dir), self._built()
        pair.save(folder)
        position = {
            "iterations": pair.iterations,
            "seconds": pair.seconds,
            "attempts": self._attempts,
            "best": self._best if self._last else None,
            "last": self._last,
        }
        (folder / POSITION).write_text(json.dumps(position), "utf-8")
        seal(folder)

    def restore(self, checkpoint_path: Any) -> None:
        """Go on from the checkpoint that Tune noted, or where that is gone or damaged from the newest sound one.

        Tune's note of where trials stand can be older than their newest checkpoints, and name one that was removed
        since; so can what population-based training copies. Where no checkpoint is left the trial starts anew.
        """
        noted = getattr(checkpoint_path, "checkpoint", checkpoint_path)
        metrics = getattr(checkpoint_path, "metrics", None)
        for found in _candidates(noted):
            try:
                super().restore(
                    found if metrics is None else type(checkpoint_path)(checkpoint=found, metrics=metrics)
                )
                return
            except DamagedError as error:
                print(f"checkpoint {found.path} is damaged: {error}; the one before it is taken")
        print(f"no checkpoint beside {noted.path} can be used; the trial starts anew")
        self.reset_config(self._config)

    def load_checkpoint(self, checkpoint: dict[str, Any] | str | None) -> None:
        """Go on from a checkpoint.

        Raises:
            DamagedError: a file of it is not what was written, or it was not finished.
        """
        folder = Path(str(checkpoint))
        fault = damage(folder) if (folder / SEAL).is_file() else f"{SEAL} is missing"
        if fault:
            raise DamagedError(fault)
        position = json.loads((folder / POSITION).read_text("utf-8"))
        self.cleanup()
        self._attempts = int(position["attempts"]) + 1
        self._last = position["last"]
        self._best = -math.inf if position["best"] is None else float(position["best"])
        stream = FIRST_RESUMED_STREAM + self._attempts - 1
        self._pair = self.pair(self._config, stream=stream, versions=self._versions)
        self._pair.build(folder, iterations=int(position["iterations"]), seconds=float(position["seconds"]))

    def cleanup(self) -> None:
        """Let go of the algorithm and its processes."""
        if self._pair is not None:
            self._pair.stop()
            self._pair = None

    def _built(self) -> LearningPair:
        if self._pair is None:
            self._pair = self.pair(self._config, versions=self._versions)
            self._pair.build()
        return self._pair

    def _note(self, row: Mapping[str, Any]) -> None:
        profit = float(row["profit_eval_mean"])
        self._best = max(self._best, profit)
        self._last = {
            "profit": profit,
            "profit_best": self._best,
            "iteration": row["iteration"],
            "env_steps": row["env_steps"],
            "seconds": row["seconds"],
            # Tune's loggers take numbers alone.
            **{key: row[key] for key in ("profit_mean", "fill_rate", "holding_cost") if row[key] is not None},
        }


def _candidates(noted: tune.Checkpoint) -> list[tune.Checkpoint]:
    """The checkpoint that was noted and those beside it, the newest of them first; what is gone is left out."""
    filesystem: Any = noted.filesystem
    parent = PurePosixPath(noted.path).parent
    selector = pyarrow.fs.FileSelector(str(parent), allow_not_found=True)
    found = (info.base_name for info in filesystem.get_file_info(selector))
    names = sorted((name for name in found if name.startswith(CHECKPOINT)), reverse=True)
    own = PurePosixPath(noted.path).name
    ordered = [own, *(name for name in names if name != own)] if own in names else names
    return [tune.Checkpoint(str(parent / name), filesystem=filesystem) for name in ordered]
