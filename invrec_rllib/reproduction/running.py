"""Make an experiment: its pairs, the episodes that they play, its numbers; resumable at every step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from invrec_rllib.errors import InputError
from invrec_rllib.reproduction.experiment import Experiment
from invrec_rllib.reproduction.findings import Finding, find, results_data, to_json
from invrec_rllib.reproduction.folder import ExperimentDir
from invrec_rllib.reproduction.making import News, finished_pairs, make_pairs
from invrec_rllib.reproduction.scores import BOUND, Game, Score, play
from invrec_rllib.reproduction.tables import to_markdown
from invrec_rllib.reproduction.work import work_through
from invrec_rllib.scenario import Scenario
from invrec_rllib.scenario.files import write_text_atomically
from invrec_rllib.studies.pool import check_jobs


@dataclass
class Reproduced:
    """How a call of `reproduce` ended.

    Attributes:
        experiment: its name.
        path: of its folder.
        findings: empty while runs or scores are missing.
        data: the findings as plain numbers.
        left: runs and scores that are still to be made, those that failed not among them.
        failed: why runs and scores failed, by name.
    """

    experiment: str
    path: Path
    findings: list[Finding] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    left: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def reproduce(
    experiment: Experiment,
    *,
    out: str | os.PathLike[str],
    jobs: int | None = None,
    address: str | None = None,
    max_minutes: float | None = None,
    on_pair: Callable[[News], None] = lambda news: None,
    on_score: Callable[[str, int, int], None] = lambda name, done, planned: None,
) -> Reproduced:
    """Make what the folder does not hold yet, and write `findings.json` and `findings.md` when all is there.

    Args:
        experiment: what is found out.
        out: its folder; on a cluster one that all machines share.
        jobs: runs, and policies that play, at once; None: as many as Ray has CPUs.
        address: of a Ray cluster; None: the environment variable ``RAY_ADDRESS``, or a local Ray.
        max_minutes: after which nothing new begins; None: no limit.
        on_pair: told of every pair that comes to its end.
        on_score: told of every policy that has played: its name, how many have, how many are to.

    Raises:
        InputError, ScenarioError: the experiment or the folder is not valid; before Ray starts.
        KeyboardInterrupt: by Ctrl-C; the same call goes on.
    """
    check_jobs(jobs)
    started = time.monotonic()
    folder = ExperimentDir(out)
    folder.begin(experiment)
    with folder.locked():
        made = make_pairs(
            experiment, folder, on_pair=on_pair, jobs=jobs, address=address, max_minutes=max_minutes
        )
        result = Reproduced(experiment.name, folder.path, left=made.left, failed=dict(made.failed))
        games = [
            game for game in plan_games(experiment, folder) if not folder.score_file(game.name).is_file()
        ]
        minutes = None
        if max_minutes is not None:
            minutes = max(0.0, max_minutes - (time.monotonic() - started) / 60.0)
        _play_all(games, folder, result, on_score=on_score, jobs=jobs, address=address, max_minutes=minutes)
        if not result.left and not result.failed:
            result.findings = find_all(experiment, folder)
            provenance = made.provenance()
            result.data = {
                **results_data(result.findings, baseline=experiment.ways.baseline),
                **provenance,
            }
            write_text_atomically(folder.findings_file, to_json(result.data))
            text = to_markdown(experiment, result.findings, provenance=provenance)
            write_text_atomically(folder.table_file, text)
    return result


def plan_games(experiment: Experiment, folder: ExperimentDir) -> list[Game]:
    """All games of an experiment: of the bound, of simple policies, and of the runs that are finished."""
    games = []
    for condition in experiment.ways.conditions:
        world = experiment.ways.world(condition)

        def game(
            player: str, *, name: str, episodes: int, trained: bool = False, world: Scenario = world
        ) -> Game:
            return Game(player, trained, world, experiment.information, experiment.seed, episodes, name)

        if experiment.bound_paths:
            games.append(game(BOUND, name=f"{condition}/{BOUND}", episodes=experiment.bound_paths))
        games += [
            game(player, name=f"{condition}/{player}", episodes=experiment.episodes)
            for player in experiment.references
        ]
        games += [
            game(str(pair), name=name, episodes=experiment.episodes, trained=True)
            for name, pair in finished_pairs(experiment, folder, condition).items()
        ]
    return games


def _play_all(
    games: list[Game],
    folder: ExperimentDir,
    result: Reproduced,
    *,
    on_score: Callable[[str, int, int], None],
    **limits: Any,
) -> None:
    left, failed = work_through(
        play,
        games,
        folder,
        begin=lambda game: (game, folder.score_file(game.name)),
        tell=lambda game, failure, ended: on_score(game.name, ended, len(games)),
        **limits,
    )
    result.left += left
    result.failed |= failed


def find_all(experiment: Experiment, folder: ExperimentDir) -> list[Finding]:
    """The findings, a line for every condition and variant.

    Raises:
        InputError: scores are missing.
    """
    ways = experiment.ways
    findings = []
    for condition in ways.conditions:
        names = (*((BOUND,) if experiment.bound_paths else ()), *experiment.references)
        simple = {name: _read(folder, f"{condition}/{name}") for name in names}
        pairs = {
            variant: {seed: _read(folder, f"{condition}/{variant}/{seed}") for seed in ways.seeds_of(variant)}
            for variant in ways.variants
        }
        for variant, scores in pairs.items():
            others = {name: other for name, other in pairs.items() if name != variant}
            findings.append(
                find(
                    condition=condition,
                    variant=variant,
                    label=ways.variants[variant].label,
                    pairs=scores,
                    others={**simple, **others},
                )
            )
    return findings


def _read(folder: ExperimentDir, name: str) -> Score:
    file = folder.score_file(name)
    if not file.is_file():
        raise InputError(f"{folder.path} lacks the score of {name}: invrec reproduce makes it")
    return Score.load(file)
