"""Folders of studies made without training, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invrec_rllib.evaluation import compare
from invrec_rllib.policies.recommenders import stock_aware_slates
from invrec_rllib.policies.silos import SiloPolicy
from invrec_rllib.rundir import RunDir
from invrec_rllib.studies.folder import StudyDir
from invrec_rllib.studies.plan import PlannedRun, plan_runs
from invrec_rllib.studies.study import Study, make_study

STUDY: dict[str, Any] = {
    "name": "mine",
    "question": "Which <way> earns most?",
    "base": {"scenario": "tiny", "iterations": 2},
    "variants": {
        "plain": {"label": "plain"},
        "slow": {"label": "slow", "set": {"learning_rate_inventory": 1e-4}, "factor": 0.5, "group": "one"},
        "fast": {
            "label": "rates, fast",
            "set": {"learning_rate_inventory": 1e-2},
            "factor": 2,
            "group": "one",
        },
    },
    "baseline": "plain",
    "best_of": {"one speed": ["slow", "fast"]},
    "seeds": 2,
}


def make_small_study(**changes: Any) -> Study:
    return make_study({**STUDY, **changes})


def fill_run(folder: StudyDir, run: PlannedRun, *, status: str = "finished") -> RunDir:
    """A run's folder as training leaves it; its policy is a simple one on episodes of the run's seed."""
    made = RunDir.create(folder.folder(run), run.settings, scenario=run.world)
    comparison = compare(
        run.world, [SiloPolicy("trained", stock_aware_slates), "silo"], seed=run.seed, episodes=5
    )
    made.comparison_file.write_text(comparison.to_json(), "utf-8")
    for iteration in (1, 2):
        profit = comparison.row("trained").profit.mean + iteration
        made.append_progress(
            {"iteration": iteration, "env_steps": 480 * iteration, "profit_eval_mean": profit}
        )
    made.update_manifest(status=status, wall_seconds=12.5, git_revision="0123abc", command="invrec study run")
    return made


def make_folder(path: Path, study: Study) -> StudyDir:
    """A study's folder with all its runs finished."""
    folder = StudyDir(path)
    folder.write_study(study)
    for run in plan_runs(study):
        fill_run(folder, run)
    return folder
