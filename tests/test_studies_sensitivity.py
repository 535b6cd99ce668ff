"""What drives the value of coordination: points, rows, resumption, tables and page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner
from worlds import make_world

from invrec_rllib.cli import app
from invrec_rllib.cli.sensing import parse_factors
from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import compare, rollout
from invrec_rllib.policies.coordinated import CoordinatedPolicy
from invrec_rllib.policies.tuned import load_tuned
from invrec_rllib.rllib.quiet import start_ray, stop_ray
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.scenario.variations import FACTORS, vary
from invrec_rllib.studies import sensitivity_running
from invrec_rllib.studies.pool import Failure
from invrec_rllib.studies.sensitivity import (
    Point,
    Row,
    Settings,
    baselines_of,
    plan_points,
    play_point,
    with_seeds,
)
from invrec_rllib.studies.sensitivity_folder import SensitivityDir
from invrec_rllib.studies.sensitivity_page import write_sensitivity_report
from invrec_rllib.studies.sensitivity_running import SensitivityResult, run_sensitivity
from invrec_rllib.studies.sensitivity_tables import make_lines, make_tables, to_csv

TINY = load_scenario("tiny")
BASE = Point("base", 0.0)
SETTINGS = Settings(episodes=6, seed=11)
LEVELS = {"lift": (1.0, 3.0), "margin": (1.0, 0.5)}
SILOS = ("silo", "silo_best", "sequential")
ALL = baselines_of(SETTINGS)


def play(
    world: Scenario, *, seeds: int = 2, folder: Path = Path("unused"), settings: Settings = SETTINGS
) -> list[Row]:
    wanted = with_seeds(ALL, settings, num_seeds=seeds)
    return play_point(BASE, world, wanted, settings=settings, parameters=folder)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Points are played in this process, without Ray; the pieces that were."""
    played: list[Any] = []

    def work(
        function: Callable[..., Any],
        pieces: Sequence[Any],
        *,
        begin: Callable[[Any], tuple[Any, ...]],
        end: Callable[[Any, Any], None],
        **options: Any,
    ) -> None:
        for piece in pieces:
            played.append(piece)
            end(piece, function(*begin(piece)))

    monkeypatch.setattr(sensitivity_running, "work_side_by_side", work)
    return played


def run(out: Path, **options: Any) -> SensitivityResult:
    given: dict[str, Any] = {"levels": LEVELS, "baselines": ("silo",), "settings": SETTINGS, "num_seeds": 2}
    return run_sensitivity(TINY, out=out, **{**given, **options})


def test_levels_where_the_base_stands_are_the_base() -> None:
    # The lift of tiny is 3.
    points = plan_points(TINY, LEVELS)
    assert [point.name for point in points] == ["base", "lift=1", "margin=0.5"]
    assert points[Point("margin", 0.5)] == vary(TINY, "margin", 0.5)


def test_a_row_is_what_a_comparison_finds_with_parameters_by_formula() -> None:
    rows = play(TINY.model_copy(update={"name": "tiny.base"}))
    (row,) = [row for row in rows if (row.policy, row.seed) == ("coordinated", 12)]
    expected = compare(TINY, [CoordinatedPolicy()], seed=12, episodes=6).row("coordinated")
    assert row.profit == pytest.approx(expected.profit.mean)
    assert row.units_sold == pytest.approx(expected.metrics["sales_units"].mean)
    # Those that ship for the base would have earned something else.
    shipped = compare(TINY, ["coordinated"], seed=12, episodes=6).row("coordinated")
    assert shipped.profit.mean != expected.profit.mean


@pytest.mark.parametrize("seed", [1, 2])
def test_where_there_is_nothing_to_tell_telling_is_worth_nothing(seed: int) -> None:
    profits = {(row.policy, row.seed): row.profit for row in play(make_world(seed, lift=0.0))}
    for at in (11, 12):
        assert profits["coordinated", at] == profits["order_rule", at]


def test_the_negative_control_sees_telling_where_there_is_lift() -> None:
    rows = play(TINY, settings=Settings(episodes=50, seed=11), seeds=3)
    lines = make_lines(TINY, rows, levels={"lift": ()}, baselines=("order_rule",))
    assert lines[0].profit.absolute.low > 0.0


def test_tuned_silos_are_held_against_only_where_they_are_tuned() -> None:
    assert baselines_of(SETTINGS) == ("silo", "traditional", "order_rule")
    assert set(baselines_of(Settings(tune_budget=1))) == {*baselines_of(SETTINGS), "silo_best", "sequential"}
    # By formula they are the silo: nothing would be compared.
    profits = {name: rollout(vary(TINY, "margin", 0.5), name, seed=1, episodes=5).profit for name in SILOS}
    assert all(np.array_equal(profits["silo"], found) for found in profits.values())


def test_gains_are_paired_by_seed() -> None:
    def row(factor: str, value: float, policy: str, seed: int, profit: float) -> Row:
        return Row(factor, value, policy, seed, profit, units_sold=profit / 10, fill_rate=1.0, seconds=0.0)

    rows = [
        *(
            row("base", 0.0, "coordinated", seed, profit)
            for seed, profit in ((1, 130.0), (2, 230.0), (3, 9.0))
        ),
        *(row("base", 0.0, "silo", seed, profit) for seed, profit in ((1, 100.0), (2, 200.0))),
        row("lift", 1.0, "coordinated", 1, 50.0),
        row("lift", 1.0, "silo", 1, 40.0),
    ]
    at_one, at_base = make_lines(
        TINY, rows, levels={"lift": (1.0, 3.0, 4.0)}, baselines=("silo", "traditional")
    )
    assert (at_one.value, at_one.at_base, at_one.seeds) == (1.0, False, 1)
    assert at_one.profit.percent.mean == pytest.approx(25.0)
    assert (at_base.at_base, at_base.seeds) == (True, 2)
    # 30 more with either seed: the difference has no spread, whatever the seeds have.
    assert (at_base.profit.absolute.mean, at_base.profit.absolute.low) == (30.0, 30.0)
    assert at_base.profit.percent.mean == pytest.approx(20.0)
    (table,) = make_tables([at_one, at_base])
    assert table.header == ("lift, factor on odds", "over silo")
    assert [cells[0] for cells in table.rows] == ["1", "3 (base)"]
    assert table.rows[0][1] == "+25.0 %"


def test_the_same_call_goes_on_and_more_plays_only_what_it_adds(tmp_path: Path, here: list[Any]) -> None:
    first = run(tmp_path, limit=2)
    assert (first.points, first.made, first.left, len(first.rows)) == (3, 2, 1, 2 * 2 * 2)
    before = (tmp_path / "rows.csv").read_text("utf-8")
    second = run(tmp_path)
    assert (second.made, second.left) == (1, 0)
    assert [point.name for point in here] == ["base", "lift=1", "margin=0.5"]
    assert (tmp_path / "rows.csv").read_text("utf-8").startswith(before)
    assert run(tmp_path).made == 0
    assert second.rows == run(tmp_path).rows

    more = run(tmp_path, num_seeds=3, baselines=("silo", "traditional"), levels={"lift": (1.0,)})
    assert more.made == 2
    added = more.rows[len(second.rows) :]
    assert {row.point.name for row in added} == {"base", "lift=1"}
    assert sorted((row.policy, row.seed) for row in added if row.factor == "base") == [
        *(("coordinated", 13), ("silo", 13)),
        *(("traditional", seed) for seed in (11, 12, 13)),
    ]
    assert len({row.key for row in more.rows}) == len(more.rows)


def test_a_point_that_fails_is_named_and_tried_again(
    tmp_path: Path, here: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = sensitivity_running._play

    def fail(point: Point, *arguments: Any) -> Any:
        return Failure("broken", "Traceback: broken") if point.factor == "lift" else right(point, *arguments)

    monkeypatch.setattr(sensitivity_running, "_play", fail)
    seen: list[tuple[str, str, int, int]] = []
    result = run(tmp_path, on_end=lambda point, *rest: seen.append((point.name, *rest)))
    assert (result.made, result.left, result.failed) == (2, 0, {"lift=1": "broken"})
    assert seen == [("base", "", 1, 3), ("lift=1", "broken", 2, 3), ("margin=0.5", "", 3, 3)]
    assert (tmp_path / "errors/lift=1.txt").is_file()
    monkeypatch.setattr(sensitivity_running, "_play", right)
    assert run(tmp_path).made == 1
    assert not (tmp_path / "errors/lift=1.txt").exists()


def test_points_of_a_folder_are_played_alike(tmp_path: Path, here: list[Any]) -> None:
    run(tmp_path, limit=1)
    with pytest.raises(InputError, match=r"episodes 6, now 7"):
        run(tmp_path, settings=Settings(episodes=7, seed=11))
    with pytest.raises(InputError, match="its scenario is another"):
        run_sensitivity(
            vary(TINY, "margin", 0.5), out=tmp_path, levels=LEVELS, baselines=("silo",), settings=SETTINGS
        )
    (tmp_path / "other").mkdir()
    (tmp_path / "other/mine.txt").write_text("mine", "utf-8")
    with pytest.raises(InputError, match="is no sensitivity analysis"):
        run(tmp_path / "other")
    assert len(here) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": {"lift": (2.0, 2.0)}}, "levels of lift must differ, got 2, 2"),
        ({"baselines": ("coordinated",)}, "baseline 'coordinated' is unknown, must be one of: silo"),
        ({"baselines": ("sequential",)}, "'sequential' with parameters by formula is the silo"),
        ({"num_seeds": 0}, "seeds must be at least 1, got 0"),
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_named(
    options: dict[str, Any], message: str, tmp_path: Path, here: list[Any]
) -> None:
    with pytest.raises(InputError, match=message):
        run(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_rows_that_cannot_be_read_are_named(tmp_path: Path, here: list[Any]) -> None:
    run(tmp_path, limit=1)
    file = tmp_path / "rows.csv"
    file.write_text(file.read_text("utf-8").replace("silo,11", "silo,eleven"), "utf-8")
    with pytest.raises(InputError, match=r"rows.csv, line \d+: a cell holds no number"):
        run(tmp_path)
    file.write_text("factor,value\n", "utf-8")
    with pytest.raises(InputError, match="lack policy, seed"):
        run(tmp_path)


def test_the_report_says_what_parameters_it_was_found_with(tmp_path: Path, here: list[Any]) -> None:
    levels = {**LEVELS, "capacity": FACTORS["capacity"].levels}
    run(tmp_path, levels=levels, baselines=ALL, limit=4)
    folder = SensitivityDir(tmp_path)
    files = write_sensitivity_report(folder, levels=levels, baselines=ALL)
    assert {file.name for file in files} == {
        *("index.html", "sensitivity.svg", "sensitivity.csv", "sensitivity.md", "sensitivity.tex")
    }
    html = files[0].read_text("utf-8")
    assert "All parameters are those by formula" in html
    assert html.count('src="data:image/png;base64,') == 1
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "none (base)" in (tmp_path / "report/sensitivity.md").read_text("utf-8")
    # An older report is replaced; without any point of what is asked for there is none.
    write_sensitivity_report(folder, levels=levels, baselines=("silo",))
    empty = SensitivityDir(tmp_path / "empty")
    empty.begin(TINY, SETTINGS)
    with pytest.raises(InputError, match="holds no point with silo"):
        write_sensitivity_report(empty, levels=levels, baselines=("silo",))


def test_csv_holds_every_line() -> None:
    rows = play(TINY)
    lines = make_lines(TINY, rows, levels={"lift": ()}, baselines=ALL)
    header, *records = to_csv(lines).splitlines()
    assert header.startswith(
        "factor,value,at_base,baseline,seeds,profit,profit_low,profit_high,profit_percent"
    )
    assert [record.split(",")[3] for record in records] == list(ALL)
    assert float(records[0].split(",")[5]) == lines[0].profit.absolute.mean


def test_factors_are_read_with_and_without_levels() -> None:
    assert parse_factors(["lift", "capacity=inf,1.5", "lead_time=2"]) == {
        "lift": FACTORS["lift"].levels,
        "capacity": (float("inf"), 1.5),
        "lead_time": (2.0,),
    }
    with pytest.raises(InputError, match="levels must be numbers separated by commas, got '1,x'"):
        parse_factors(["lift=1,x"])
    with pytest.raises(InputError, match="did you mean margin"):
        parse_factors(["margn"])


@pytest.mark.slow
def test_searched_parameters_are_kept_and_used_by_pair_and_order_rule_alike(tmp_path: Path) -> None:
    pytest.importorskip("cma")
    settings = Settings(episodes=6, seed=11, tune_budget=7000)
    wanted = [(policy, 11) for policy in ("coordinated", "order_rule", "silo")]
    assert set(wanted) < set(with_seeds(baselines_of(settings), settings, num_seeds=1))
    rows = play_point(BASE, TINY, wanted, settings=settings, parameters=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["base.coordinated.yaml"]
    found = load_tuned(tmp_path / "base.coordinated.yaml")
    assert found.provenance["budget_episodes"] == 7000
    expected = compare(TINY, [found.build()], seed=11, episodes=6).row("coordinated")
    assert rows[0].profit == pytest.approx(expected.profit.mean)
    # What lies there is not searched for again, and must be of this world.
    assert play_point(BASE, TINY, wanted, settings=settings, parameters=tmp_path)[1].profit == rows[1].profit
    with pytest.raises(InputError, match="was tuned to another world"):
        play_point(BASE, vary(TINY, "margin", 0.5), wanted, settings=settings, parameters=tmp_path)


@pytest.fixture
def two_cpus() -> Iterator[None]:
    start_ray(2)
    yield
    stop_ray()


@pytest.mark.slow
def test_the_command_under_ray_finds_what_one_process_finds(tmp_path: Path, two_cpus: None) -> None:
    out = tmp_path / "found"
    arguments = ["sensitivity", "tiny", "--out", str(out), "--episodes", "6", "--seed", "11", "--seeds", "2"]
    result = CliRunner().invoke(app, [*arguments, "--factor", "margin=0.5", "--json"])
    assert result.exit_code == 0, result.stderr
    rows = SensitivityDir(out).rows()
    assert {row.point.name for row in rows} == {"base", "margin=0.5"}
    base = {row.key: row.profit for row in rows if row.factor == "base"}
    assert base == {row.key: row.profit for row in play(TINY.model_copy(update={"name": "tiny.base"}))}
    assert (out / "report/index.html").is_file()
