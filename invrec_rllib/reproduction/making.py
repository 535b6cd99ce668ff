"""The pairs of an experiment: trained as runs of a study, or searched; resumable."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invrec_rllib.learning.pathwise.files import is_pair, load_pair
from invrec_rllib.reproduction.experiment import Experiment
from invrec_rllib.reproduction.folder import ExperimentDir
from invrec_rllib.reproduction.searches import Searches
from invrec_rllib.reproduction.work import work_through
from invrec_rllib.rundir import describe_machine
from invrec_rllib.searching import search_pair
from invrec_rllib.studies.folder import StudyDir
from invrec_rllib.studies.plan import plan_runs
from invrec_rllib.studies.pool import Failure
from invrec_rllib.studies.running import Outcome, run_study
from invrec_rllib.studies.study import Study


@dataclass(frozen=True)
class News:
    """A pair that came to its end.

    Attributes:
        name: ``condition/variant/seed``.
        text: what came of it.
        done: pairs of this call that came to their end so far.
        planned: pairs that this call may make in all.
    """

    name: str
    text: str
    done: int
    planned: int


@dataclass(frozen=True)
class Making:
    """What is there of an experiment's pairs.

    Attributes:
        left: pairs that are still to be made, those that failed not among them.
        failed: why pairs failed, by name.
        hours: that a process has worked for those that are there, in all.
        code: git revisions or versions that made them.
    """

    left: int
    failed: dict[str, str]
    hours: float
    code: list[str]

    def provenance(self) -> dict[str, Any]:
        """What training took, and the code that did it."""
        return {"training_hours": round(self.hours, 3), "code": self.code}


def make_pairs(
    experiment: Experiment, folder: ExperimentDir, *, on_pair: Callable[[News], None], **limits: Any
) -> Making:
    """Make the pairs that the folder does not hold yet.

    Args:
        experiment: whose they are.
        folder: of the experiment.
        on_pair: told of every pair that comes to its end.
        limits: `jobs`, `address` and `max_minutes` of `work_side_by_side`.
    """
    ways = experiment.ways
    if isinstance(ways, Study):
        return _train(ways, folder, on_pair=on_pair, **limits)
    return _search(ways, folder, on_pair=on_pair, **limits)


def finished_pairs(experiment: Experiment, folder: ExperimentDir, condition: str) -> dict[str, Path]:
    """Folders of the pairs of a condition that are there, by name."""
    ways = experiment.ways
    if isinstance(ways, Study):
        study = StudyDir(folder.study)
        runs = plan_runs(ways, conditions=[condition])
        return {run.name: study.folder(run) for run in runs if study.is_finished(run)}
    planned = _plan_searches(ways, folder.pairs)
    return {one.name: one.folder for one in planned if one.condition == condition and one.is_finished}


@dataclass(frozen=True)
class _Planned:
    """One search.

    Attributes:
        condition, variant: names.
        seed: of the search.
        folder: where its pair lies, once it is complete.
    """

    condition: str
    variant: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """``condition/variant/seed``."""
        return f"{self.condition}/{self.variant}/{self.seed}"

    @property
    def is_finished(self) -> bool:
        """Whether its pair is there; a folder gets its name when it is complete."""
        return is_pair(self.folder)


def _plan_searches(searches: Searches, below: Path) -> list[_Planned]:
    """All searches with a first seed, then with a second; their folders lie below one."""
    return [
        _Planned(condition, variant, seed, below / condition / variant / str(seed))
        for seed in range(searches.seeds)
        for condition in searches.worlds
        for variant in searches.variants
    ]


def _make_pair(searches: Searches, planned: _Planned, command: str) -> None:
    """Search, in a process of its own."""
    search_pair(
        searches.world(planned.condition),
        information=searches.information,
        settings=searches.settings(planned.variant, seed=planned.seed),
        out=planned.folder,
        provenance={"command": command, "experiment": searches.name, "variant": planned.variant},
    )


def _train(study: Study, folder: ExperimentDir, *, on_pair: Callable[[News], None], **limits: Any) -> Making:
    def tell(outcome: Outcome) -> None:
        text = f"failed: {outcome.error}"
        if outcome.row is not None:
            text = f"profit {outcome.row.profit:,.1f} in {outcome.row.seconds:,.0f} s"
        on_pair(News(outcome.run.name, text, outcome.done, outcome.planned))

    made = run_study(study, out=folder.study, on_outcome=tell, **limits)
    hours = sum(row.seconds for row in made.rows) / 3600.0
    return Making(made.left, dict(made.failed), hours, sorted({row.code for row in made.rows}))


def _search(
    searches: Searches, folder: ExperimentDir, *, on_pair: Callable[[News], None], **limits: Any
) -> Making:
    planned = _plan_searches(searches, folder.pairs)
    waiting = [one for one in planned if not one.is_finished]
    command = describe_machine()["command"]
    started = time.monotonic()

    def tell(one: _Planned, failure: Failure | None, ended: int) -> None:
        text = f"found after {time.monotonic() - started:,.0f} s"
        if failure is not None:
            text = f"failed: {failure.summary}"
        on_pair(News(one.name, text, ended, len(waiting)))

    left, failed = work_through(
        _make_pair, waiting, folder, begin=lambda one: (searches, one, command), tell=tell, **limits
    )
    origins = [load_pair(one.folder).provenance for one in planned if one.is_finished]
    hours = sum(origin["seconds"] for origin in origins) / 3600.0
    return Making(left, failed, hours, sorted({str(origin["git_revision"]) for origin in origins}))
