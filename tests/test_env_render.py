"""Tables and pictures of an episode."""

from __future__ import annotations

import re

import numpy as np
import pytest
from env_worlds import everything

from invrec_rllib import errors
from invrec_rllib.env import parallel_env
from invrec_rllib.env.history import History
from invrec_rllib.errors import InputError, MissingExtraError
from invrec_rllib.scenario import load_scenario
from invrec_rllib.sim import Simulator


def played(periods: int, scenario="paper", mode="ansi"):
    environment = parallel_env(scenario, render_mode=mode)
    environment.reset(seed=1)
    infos = {}
    for _ in range(periods):
        actions = {a: np.zeros(environment.action_space(a).shape, np.float32) for a in environment.agents}
        infos = environment.step(actions)[-1]["inventory"]
    return environment, infos


def row(table: str, label: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(label))
    return re.split(r"[\s|]+", line.strip())


def test_the_table_shows_the_stock_now_and_the_period_before():
    environment, infos = played(3)
    table = environment.render()
    assert table.startswith("paper: period 3 of 60\n")
    total = row(table, "all")
    figures = [int(number) for number in total[1:7]]
    names = ("on_hand", "on_order", "ordered", "demand", "sales", "lost")
    assert figures == [int(infos[name]) for name in names]
    products = [row(table, f"product_{i}") for i in range(10)]
    # On hand, on order, cover, then the period before: each product's columns add up to the totals.
    for column, figure in zip((1, 2, 4, 5, 6, 7), figures, strict=True):
        assert sum(int(product[column]) for product in products) == figure
    assert f"profit {infos['profit']:,.0f} in the period" in table


def test_the_profit_so_far_and_the_fill_rate_are_the_episodes():
    environment = parallel_env("tiny", render_mode="ansi")
    environment.reset(seed=2)
    profit, demand, lost = 0.0, 0.0, 0.0
    for _ in range(9):
        actions = {agent: np.full(2, -0.5, np.float32) for agent in environment.agents}
        infos = environment.step(actions)[-1]["inventory"]
        profit, demand, lost = profit + infos["profit"], demand + infos["demand"], lost + infos["lost"]
    assert lost > 0
    table = environment.render()
    assert f"{profit:,.0f} so far" in table
    assert f"fill rate so far {100 * (1 - lost / demand):.1f} %" in table


def test_before_the_first_period_the_table_shows_the_stock_alone():
    environment, _ = played(0)
    assert "no period played yet" in environment.render()
    assert row(environment.render(), "all")[1] == str(environment.params.initial_on_hand.sum() + sum(
        pipeline[0] for pipeline in environment.scenario.products.initial_pipeline
    ))  # fmt: skip


def test_the_history_keeps_what_happened():
    simulator = Simulator(load_scenario("tiny"))
    state = simulator.reset(seed=0)
    history = History(simulator.params, state)
    states, outcomes = [state], []
    for order in ([[3, 0]], [[1, 2]], [[0, 3]]):
        before = simulator.state
        exposure = np.array([[[0.25, 0.75]]])
        outcome = simulator.step(order=np.array(order), exposure=exposure)
        history.add(before, outcome, simulator.state, fill_rate=1.0)
        states.append(simulator.state)
        outcomes.append(outcome)
    np.testing.assert_array_equal(history.stocks([0, 1]), [s.on_hand[0] for s in states])
    np.testing.assert_array_equal(history.orders([1]), [[0], [2], [3]])
    np.testing.assert_array_equal(history.exposures([0, 1]), [[0.25, 0.75]] * 3)
    np.testing.assert_array_equal(history.losses([0]), [[o.lost[0, 0]] for o in outcomes])
    np.testing.assert_array_equal(history.profits(), [o.economics.profit[0] for o in outcomes])
    # Price 10, cost 6, holding 2 % of it, penalty 5 % of the price.
    margin = [o.sales[0, 0] * 4.0 - o.on_hand_end[0, 0] * 0.12 - o.lost[0, 0] * 0.5 for o in outcomes]
    np.testing.assert_allclose(history.margins(simulator.params, [0])[:, 0], margin)


def test_a_long_range_of_products_is_cut_to_the_largest_sellers():
    environment, _ = played(1, "large")
    table = environment.render()
    assert "... and 70 products that sell less" in table
    assert len(table.splitlines()) < 40
    best = int(np.argmax(environment.params.price[0] * environment.params.organic_demand))
    assert f"product_{best} " in table


def test_human_rendering_prints_the_table_at_every_step(capsys):
    environment, _ = played(2, "tiny", mode="human")
    assert environment.render() is None
    headlines = re.findall("tiny: period (.) of 30", capsys.readouterr().out)
    assert headlines == ["0", "1", "2", "2"]


@pytest.mark.parametrize(("scenario", "periods"), [("tiny", 0), ("large", 2), (everything(), 12)])
def test_the_picture_is_an_image_of_fixed_size(scenario, periods):
    image = played(periods, scenario, mode="rgb_array")[0].render()
    assert image.shape == (720, 1120, 3)
    assert image.dtype == np.uint8


@pytest.mark.parametrize("scenario", ["tiny", "grocery", "large"])
def test_nothing_is_cut_off_at_the_edges_of_the_picture(scenario):
    image = played(2, scenario, mode="rgb_array")[0].render()
    for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
        assert (edge == 255).all()


def test_the_picture_changes_from_period_to_period_and_fills_from_the_left():
    environment, _ = played(5, "tiny", mode="rgb_array")
    before = environment.render()
    environment.step({agent: np.zeros(2, np.float32) for agent in environment.agents})
    changed = np.argwhere((environment.render() != before).any(axis=2))
    # Below the headline only the sixth of thirty columns changes in each panel, and the title of the profit.
    columns = changed[(changed[:, 0] > 40) & (changed[:, 0] < 540)][:, 1]
    assert len(columns) > 0
    assert columns.max() - columns.min() < 640
    assert len(np.unique(columns)) < 60


def test_rendering_without_a_mode_or_an_episode_is_refused():
    with pytest.raises(InputError, match="render_mode is None"):
        parallel_env("tiny").render()
    with pytest.raises(InputError, match="no episode has begun: call reset"):
        parallel_env("tiny", render_mode="ansi").render()


def test_a_missing_matplotlib_is_named_before_anything_is_played(monkeypatch):
    def missing(module):
        raise ImportError(module)

    monkeypatch.setattr(errors.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'invrec-rllib\[report\]'"):
        parallel_env("tiny", render_mode="rgb_array")
