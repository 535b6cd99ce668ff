"""The points of a sensitivity analysis under Ray: side by side, resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from invrec_rllib.scenario import Scenario
from invrec_rllib.scenario.files import write_text_atomically
from invrec_rllib.studies.pool import Failure, check_jobs, work_side_by_side
from invrec_rllib.studies.sensitivity import Point, Row, Settings, plan_points, play_point, with_seeds
from invrec_rllib.studies.sensitivity_folder import SensitivityDir


@dataclass
class SensitivityResult:
    """How a call of `run_sensitivity` ended.

    Attributes:
        path: of the folder.
        rows: all in it.
        points: of the plan.
        made: points that this call finished.
        left: points that are still to be played, those that failed not among them.
        failed: why points failed, by name.
    """

    path: Path
    rows: list[Row]
    points: int
    made: int = 0
    left: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def run_sensitivity(
    scenario: Scenario,
    *,
    out: str | os.PathLike[str],
    levels: Mapping[str, Sequence[float]],
    baselines: Sequence[str],
    settings: Settings,
    num_seeds: int = 8,
    jobs: int | None = None,
    address: str | None = None,
    limit: int | None = None,
    max_minutes: float | None = None,
    on_end: Callable[[Point, str, int, int], None] = lambda point, error, done, planned: None,
) -> SensitivityResult:
    """Play the coordinated heuristic and baselines at every point, as far as the folder does not hold that yet.

    `rows.csv` is up to date after every point. More factors, levels, baselines or seeds in a later call play only
    what they add.

    Args:
        scenario: the base.
        out: folder; on a cluster one that all machines share.
        levels: by factor, see `FACTORS`.
        baselines: names in `BASELINES`.
        settings: of all points.
        num_seeds: seeds per policy and point, >= 1.
        jobs: points at once; None: as many as Ray has CPUs.
        address: of a Ray cluster; None: the environment variable ``RAY_ADDRESS``, or a local Ray.
        limit: points that this call may play; None: all.
        max_minutes: after which no new point begins; None: no limit.
        on_end: told of every point that comes to its end: the point, why it failed or "", how many have ended, and
            how many this call may play.

    Raises:
        InputError, ScenarioError: an argument or the folder is not valid; before Ray starts.
        KeyboardInterrupt: by Ctrl-C; points at work then are played anew by the next call.
    """
    check_jobs(jobs)
    worlds = plan_points(scenario, levels)
    wanted = with_seeds(baselines, settings, num_seeds=num_seeds)
    folder = SensitivityDir(out)
    folder.check_free_for(scenario, settings)
    with folder.locked():
        known = {row.key for row in folder.rows()}
        missing = {
            point: [(policy, seed) for policy, seed in wanted if (point.name, policy, seed) not in known]
            for point in worlds
        }
        waiting = [point for point in worlds if missing[point]]
        planned = waiting[:limit]
        folder.begin(scenario, settings)
        result = SensitivityResult(folder.path, rows=[], points=len(worlds))

        def end(point: Point, found: list[Row] | Failure) -> None:
            error_file = folder.errors / f"{point.name}.txt"
            if isinstance(found, Failure):
                result.failed[point.name] = found.summary
                write_text_atomically(error_file, found.details)
            else:
                result.made += 1
                folder.add(found)
                error_file.unlink(missing_ok=True)
            ended = result.made + len(result.failed)
            on_end(point, result.failed.get(point.name, ""), ended, len(planned))

        if planned:
            work_side_by_side(
                _play,
                planned,
                begin=lambda point: (point, worlds[point], missing[point], settings, folder.parameters),
                end=end,
                jobs=jobs,
                address=address,
                max_minutes=max_minutes,
            )
        result.rows = folder.rows()
        result.left = len(waiting) - result.made - len(result.failed)
    return result


def _play(
    point: Point, world: Scenario, wanted: Sequence[tuple[str, int]], settings: Settings, parameters: Path
) -> list[Row]:
    return play_point(point, world, wanted, settings=settings, parameters=parameters)
