"""The coordinated heuristic: what it sees, what it shows, what it orders, and where it must earn nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from invrec_rllib.evaluation.rollout import rollout
from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.base_stock import protected_season
from invrec_rllib.policies.coordinated import (
    CoordinatedParameters,
    CoordinatedPolicy,
    priced_slates,
    scarcity,
)
from invrec_rllib.policies.demand_plan import (
    Lookahead,
    TasteFilter,
    long_run_demand,
    margin_slates,
    total_demand,
)
from invrec_rllib.policies.recommenders import uniform_slates
from invrec_rllib.policies.silos import RandomPolicy
from invrec_rllib.policies.view import Observer, View
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.sim import Params, Simulator, compile_scenario, initial_state


def changed(name: str, **sections: dict[str, Any]) -> Scenario:
    data = load_scenario(name).model_dump()
    for section, changes in sections.items():
        data[section] |= changes
    return Scenario.model_validate(data)


def view_of(params: Params, *, period: int = 0, **state: Any) -> View:
    """Three episodes at long-run tastes, known exactly, with some of the state changed."""
    start = replace(initial_state(params, 3), period=period, **state)
    organic = np.tile(params.organic_demand, (3, 1))
    return View(params, start, start.affinity, organic, np.sqrt(organic))


def first_decision(view: View, parameters: CoordinatedParameters | None = None) -> Decision:
    policy = CoordinatedPolicy(parameters or CoordinatedParameters())
    return policy.act(view, policy.begin(view.params, num_episodes=3, seed=0))


@dataclass(frozen=True)
class OtherSlates:
    """The orders of the coordinated heuristic beside slates of someone else."""

    recommend: Any
    name: str = "other_slates"

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> Any:
        policy = CoordinatedPolicy()
        return policy, policy.begin(params, num_episodes=num_episodes, seed=seed)

    def act(self, view: View, memory: Any) -> Decision:
        policy, inner = memory
        decision = policy.act(view, inner)
        return Decision(decision.order, self.recommend(view), (policy, decision.memory))


def random_slates(view: View) -> np.ndarray:
    policy = RandomPolicy()
    generators = policy.begin(view.params, num_episodes=len(view.scores), seed=view.state.period)
    return policy.act(view, generators).exposure


@pytest.mark.parametrize("information", ["full", "observed"])
def test_where_exposure_does_nothing_slates_earn_nothing(information: Any) -> None:
    # No lift, no carry-over, no disappointment, no substitution: the departments are separate problems.
    separable = changed(
        "paper",
        segments={"lift": [0.0] * 5},
        tastes={"carryover": 0.0, "disappointment": 0.0},
        demand={"substitution": 0.0},
    )
    play = {"seed": 2, "episodes": 20, "information": information}
    own = rollout(separable, CoordinatedPolicy(), **play).profit
    for recommend in (uniform_slates, random_slates):
        np.testing.assert_array_equal(rollout(separable, OtherSlates(recommend), **play).profit, own)


@pytest.mark.parametrize(
    "part", [{"segments": {"lift": [0.9] * 5}}, {"tastes": {"carryover": 0.3, "disappointment": 0.0}}]
)
def test_where_exposure_does_something_slates_matter(part: dict[str, Any]) -> None:
    sections: dict[str, Any] = {
        "segments": {"lift": [0.0] * 5},
        "tastes": {"carryover": 0.0, "disappointment": 0.0},
    }
    world = changed("paper", **(sections | part))
    own = rollout(world, CoordinatedPolicy(), seed=2, episodes=20).profit
    assert (rollout(world, OtherSlates(uniform_slates), seed=2, episodes=20).profit != own).all()


def test_it_leaves_the_silo_behind_with_the_parameters_by_formula() -> None:
    for name, least in (("paper", 0.12), ("capacity", 0.08), ("seasonal", 0.03), ("tiny", 0.08)):
        silo = rollout(name, "silo", seed=9, episodes=60, information="full").profit
        gain = rollout(name, CoordinatedPolicy(), seed=9, episodes=60, information="full").profit - silo
        assert gain.mean() - 3.0 * gain.std() / np.sqrt(60) > least * silo.mean() - 0.03 * silo.mean()


def test_an_empty_product_is_shown_to_nobody_until_stock_is_back() -> None:
    params = compile_scenario(load_scenario("paper"))
    plenty = np.full((3, 10), 60)
    wanted = int(np.argmax(first_decision(view_of(params, on_hand=plenty)).exposure[0].sum(axis=0)))
    empty = plenty.copy()
    empty[:, wanted] = 0
    assert first_decision(view_of(params, on_hand=empty)).exposure[:, :, wanted].sum() == 0.0


def test_exposure_rises_in_own_stock_and_falls_in_the_others() -> None:
    params = compile_scenario(load_scenario("paper"))
    shown = []
    for units in (0, 4, 8, 16, 32, 64):
        on_hand = np.full((3, 10), 12)
        on_hand[:, 3] = units
        exposure = first_decision(view_of(params, on_hand=on_hand)).exposure[0].sum(axis=0)
        shown.append((exposure[3], np.delete(exposure, 3).sum()))
    own, others = np.array(shown).T
    assert (np.diff(own) >= -1e-9).all()
    assert own[-1] > own[0] + 1.0
    assert others[-1] < others[0] - 1.0


def test_orders_know_of_a_taste_before_it_sells() -> None:
    params = compile_scenario(changed("paper", products={"max_order": None}))
    view = view_of(params)
    hot = view.scores.copy()
    hot[:, :, 2] += 1.0
    usual, informed = first_decision(view).order, first_decision(replace(view, scores=hot)).order
    assert (informed[:, 2] > usual[:, 2] + 3).all()


def test_a_sale_is_worth_its_margin_in_plenty_and_saves_what_would_be_left_at_the_end() -> None:
    params = compile_scenario(changed("paper", tastes={"noise": 0.1, "disappointment": 0.0}))
    chosen = CoordinatedParameters()
    long_run = long_run_demand(params, cost_weight=1.0)
    free = np.tile(long_run, (3, 1))

    def value(period: int, units: int) -> np.ndarray:
        view = view_of(params, period=period, on_hand=np.full((3, 10), units))
        ahead = Lookahead(params, cover_periods=1.0, persistence=1.0).at(period)
        prices = scarcity(view, ahead, free=free, long_run=long_run, parameters=chosen)
        return prices.value(view, free)[0]

    margin = params.price[0] - params.unit_cost
    # 100 units outlast any lead time, but not the 58 periods that are left.
    np.testing.assert_allclose(value(2, 100), margin + params.holding_cost, rtol=1e-3)
    left = params.price[0] - params.salvage_value + params.holding_cost
    np.testing.assert_allclose(value(59, 100), left, rtol=1e-3)
    # With nothing on the shelf one more customer costs the penalty, at the weight of disappointment.
    np.testing.assert_allclose(value(2, -1000), -chosen.lost_weight * params.stockout_penalty, rtol=1e-3)


def test_priced_slates_share_scarce_stock_between_segments() -> None:
    # Two products alike, one slot, two equal segments: shown to all, either sells 16 of its 12 units.
    world = changed(
        "tiny",
        products={"price": (10.0, 10.0), "unit_cost": (6.0, 6.0), "max_order": None},
        segments={
            "traffic": (10.0, 10.0),
            "affinity": ((0.0, 0.0), (0.0, 0.0)),
            "lift": (2.0, 2.0),
            "names": None,
        },
    )
    params = compile_scenario(world)
    view = view_of(params, on_hand=np.full((3, 2), 12))
    policy = CoordinatedPolicy()
    memory = policy.begin(params, num_episodes=3, seed=0)
    ahead = memory.ahead.at(0)
    wished = margin_slates(params, view.scores, cost_weight=1.0, period=0)
    free = total_demand(params, view.scores, wished, period=0)
    prices = scarcity(view, ahead, free=free, long_run=memory.long_run, parameters=policy.parameters)
    exposure, demand = priced_slates(view, view.scores, start=wished, prices=prices)
    assert (np.sort(wished, axis=2) == [0.0, 1.0]).all()
    assert (exposure > 0.1).all()
    assert (demand < 13.5).all()
    np.testing.assert_allclose(exposure.sum(axis=2), 1.0)
    np.testing.assert_array_equal(demand, total_demand(params, view.scores, exposure, period=0))


def test_what_is_shown_exactly_is_not_filtered() -> None:
    params = compile_scenario(load_scenario("paper"))
    view = view_of(params, period=7)
    assert TasteFilter(params).update(view) is view.scores


def test_the_filter_knows_tastes_better_than_the_scores_do() -> None:
    data = changed("paper", tastes={"score_noise": 0.5, "disappointment": 0.0})
    simulator = Simulator(data)
    observer, tastes = Observer(simulator.params, information="observed"), TasteFilter(simulator.params)
    simulator.reset(seed=1, episodes=40)
    errors = []
    while not simulator.done:
        view = observer.observe(simulator.state, simulator.streams)
        found = tastes.update(view)
        truth = view.state.affinity
        errors.append([np.mean((found - truth) ** 2), np.mean((view.scores - truth) ** 2)])
        simulator.step(
            order=np.minimum(simulator.params.max_order, 12) * np.ones((40, 1), int),
            exposure=np.zeros(truth.shape),
        )
    # Steady state of the Riccati equation: P = (1 - rho)^2 P r / (P + r) + sigma^2 before a score is seen.
    before = 0.09
    for _ in range(200):
        before = 0.81 * before * 0.25 / (before + 0.25) + 0.09
    filtered, raw = np.mean(errors[10:], axis=0)
    assert errors[0][0] == 0.0
    assert raw == pytest.approx(0.25, rel=0.02)
    assert filtered == pytest.approx(before * 0.25 / (before + 0.25), rel=0.02)


def test_the_long_run_of_tastes_that_stand_still_is_the_demand_at_them() -> None:
    params = compile_scenario(changed("paper", tastes={"noise": 0.0}))
    affinity = params.affinity[None]
    slates = margin_slates(params, affinity, cost_weight=0.5, period=0)
    expected = total_demand(params, affinity, slates, period=0)[0]
    np.testing.assert_allclose(long_run_demand(params, cost_weight=0.5), expected, rtol=1e-12)


def test_windows_ahead_by_hand() -> None:
    season = [1.0, 2.0, 3.0, 4.0] + [1.0] * 26
    params = compile_scenario(changed("tiny", demand={"season": season}, tastes={"noise": 0.2}))
    ahead = Lookahead(params, cover_periods=1.5, persistence=2.0).at(1)
    np.testing.assert_array_equal(ahead.now, [2.0, 2.0])
    # Lead time 1 and review 1: an order covers this period and the next.
    np.testing.assert_array_equal(ahead.covered.factor, [3.0, 3.0])
    np.testing.assert_allclose(ahead.covered.persistent, 3.0 * 0.9**2)
    np.testing.assert_allclose(ahead.covered.drift, 3.0 * 0.2)
    np.testing.assert_array_equal(ahead.now + ahead.covered.factor, protected_season(params, 1))
    np.testing.assert_allclose(ahead.resupply.factor, 3.0 + 0.5 * 4.0)
    np.testing.assert_allclose(ahead.resupply.drift, 0.2 * (3.0 + 0.5 * 4.0 * np.sqrt(1.0 + 0.81)))
    np.testing.assert_allclose(ahead.rest.factor, sum(season[2:]))
    last = Lookahead(params, cover_periods=1.5, persistence=2.0).at(29)
    assert last.covered.factor.sum() == last.rest.factor.sum() == last.rest.drift.sum() == 0.0


def test_planned_demand_moves_to_its_long_run() -> None:
    params = compile_scenario(changed("tiny", tastes={"noise": 0.2}))
    window = Lookahead(params, cover_periods=0.0, persistence=1.0).at(0).covered
    planned, long_run = np.array([[4.0, 2.0]]), np.array([2.0, 2.0])
    np.testing.assert_allclose(window.mean(long_run, planned), [[2.0 + 0.9 * 2.0, 2.0]])
    # Counts have their mean for a variance, cv is 0, and tastes spread by 0.2.
    np.testing.assert_allclose(window.variance(params, long_run, planned), [[3.8 + 0.8**2, 2.0 + 0.4**2]])
