"""Tuning: repeatable, on episodes of its own, and better on episodes that it never met."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from invrec_rllib.cli.evaluating import DEFAULT_SEED
from invrec_rllib.errors import InputError, MissingExtraError
from invrec_rllib.evaluation import tuning
from invrec_rllib.evaluation.rollout import rollout
from invrec_rllib.evaluation.tuning import tune
from invrec_rllib.policies.tunable import tunable

pytest.importorskip("cma")


def test_equal_seeds_find_the_same_and_leave_numpys_generator_alone() -> None:
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]  # noqa: NPY002
    found = [tune("tiny", "sequential", seed=seed, budget=6_000) for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index,union-attr]  # noqa: NPY002


def test_the_profit_stated_is_that_of_the_parameters_on_the_validation_episodes() -> None:
    found = tune("tiny", "silo_best", seed=3, budget=8_000, information="full")
    kind = tunable("silo_best")
    play = {
        "seed": tuning._VALIDATION_SEED + 3,
        "episodes": tuning._VALIDATION_EPISODES,
        "information": "full",
    }
    tuned = rollout("tiny", kind.build(kind.parameters.from_values(found.parameters), "tuned"), **play)  # type: ignore[arg-type]
    assert tuned.profit.mean() == found.profit
    assert rollout("tiny", "silo", **play).profit.mean() == found.default_profit  # type: ignore[arg-type]
    assert found.profit >= found.default_profit
    assert found.episodes <= 8_000


def test_progress_rises_to_the_end() -> None:
    seen: list[tuple[float, float]] = []
    found = tune("tiny", "sequential", budget=6_000, progress=lambda *at: seen.append(at))
    fractions, profits = zip(*seen, strict=True)
    assert (np.diff(fractions) > 0).all()
    assert fractions[-1] == 1.0
    assert (np.diff(profits) >= 0).all()
    assert profits[-1] == found.profit


@pytest.mark.slow  # imports Ray
def test_no_search_plays_the_episodes_of_training_or_of_an_evaluation() -> None:
    from invrec_rllib.learning_pair import VALIDATION_SEED
    from invrec_rllib.training import FINAL_SEED

    searched = range(tuning._SEARCH_SEED, tuning._SEARCH_SEED + tuning._LARGEST_SEED + 1)
    validated = range(tuning._VALIDATION_SEED, tuning._VALIDATION_SEED + tuning._LARGEST_SEED + 1)
    assert searched.stop <= validated.start
    for seed in (FINAL_SEED, VALIDATION_SEED, DEFAULT_SEED):
        assert seed not in searched
        assert seed not in validated


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "silo"}, "'silo' cannot be tuned"),
        ({"policy": "sequential", "seed": 100_000}, "must be from 0 to 99999"),
        ({"policy": "sequential", "budget": 5_000}, "budget is 5000 episodes, must be at least 5600"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tune("tiny", **arguments)  # type: ignore[arg-type]


def test_without_pycma_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(MissingExtraError, match=r"invrec-rllib\[search\]"):
        tune("tiny", "sequential")


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "least"), [("silo_best", 0.03), ("coordinated", 0.01)])
def test_tuned_parameters_earn_more_on_fresh_episodes(policy: str, least: float) -> None:
    found = tune("paper", policy, seed=1, budget=12_000, information="full")
    kind = tunable(policy)
    profit = [
        rollout(
            "paper",
            kind.build(kind.parameters.from_values(values), policy),
            seed=DEFAULT_SEED,
            episodes=200,
            information="full",
        ).profit
        for values in (found.parameters, {})
    ]
    gain = profit[0] - profit[1]
    assert gain.mean() - 3.0 * gain.std() / np.sqrt(200) > least * profit[1].mean()
