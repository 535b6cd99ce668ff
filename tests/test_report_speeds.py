"""The report's section on learning speeds: what was declared, what was reached, and runs without either."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.report import read_run, write_report
from invrec_rllib.report.speeds import Speeds, plain_name, sentences, table
from invrec_rllib.scenario import load_scenario, save_scenario

UPDATES = 12
# First step sizes and powers that make critic, recommender, inventory the order from fast to slow.
SPEEDS = {"critic/critic": (4e-3, 0.6), "inventory/actor": (1e-3, 1.0), "recommender/actor": (2e-3, 0.8)}


def rate(part: str, update: int) -> float:
    first, power = SPEEDS[part]
    return first / (1 + update / 12.0) ** power


def write_csv(file: Path, rows: list[dict[str, Any]]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_run(folder: Path, *, factor: float | None = None, **changes: Any) -> Path:
    """A run of whom the speeds fell as declared."""
    folder.mkdir()
    settings = TrainSettings(
        iterations=UPDATES, learning_rate_recommender=2e-3, learning_rate_inventory=1e-3, **changes
    )
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    save_scenario(load_scenario("tiny"), folder / "scenario.yaml")
    parts, pairs, progress = [], [], []
    for update in range(UPDATES):
        place = {"iteration": update + 1, "env_steps": 100 * (update + 1)}
        for name in SPEEDS:
            module, part = name.split("/")
            acts = part == "actor"
            parts.append(
                {
                    **place,
                    "module": module,
                    "part": part,
                    "learning_rate": rate(name, update),
                    "effective_step": 0.0 if update == 3 else 0.1,
                    "gradient_norm": "" if update == 3 else 0.5,
                    "kl_drift": 0.01 / (update + 1) if acts else "",
                    "drift_factor": factor if module == "inventory" else "",
                }
            )
        for slower, faster in (
            ("inventory/actor", "recommender/actor"),
            ("recommender/actor", "critic/critic"),
        ):
            ratio = rate(slower, update) / rate(faster, update)
            pairs.append({**place, "slower": slower, "faster": faster, "ratio": ratio})
        progress.append({**place, "profit_mean": 100 + update})
    write_csv(folder / "speeds.csv", parts)
    write_csv(folder / "separations.csv", pairs)
    write_csv(folder / "progress.csv", progress)
    return folder


def speeds_of(run: Path) -> Speeds:
    found = read_run(run).speeds
    assert found is not None
    return found


def test_the_section_states_order_theory_and_the_separation_reached(tmp_path: Path) -> None:
    found = speeds_of(write_run(tmp_path / "run"))
    order, theory, fast_pair, slow_pair = sentences(found)
    assert order == "Declared from fast to slow: critic, then recommender, then inventory."
    assert theory.startswith("That meets what theory asks")
    # 2/4 at first; after 11 updates less by (1 + 11/12)^-0.2, as the other pair.
    last = 0.5 * (1 + 11 / 12) ** -0.2
    for sentence, pair in ((fast_pair, "recommender over critic"), (slow_pair, "inventory over recommender")):
        assert f"{pair}: the ratio of step sizes was 0.5 in update 1 and {last:.3g} in update 12" in sentence
        assert sentence.endswith("far out it tends to 0.")


def test_the_page_shows_figures_and_rows_by_part(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path / "run"))
    html = page.read_text()
    section = html.partition("<h2>Learning speeds</h2>")[2].partition("<h2>")[0]
    assert section.count("<figure>") == 2
    assert {"speeds.png", "drift.png"} <= {file.name for file in page.parent.iterdir()}
    rows = re.findall(r"<tr><td>(.*?)</td></tr>", section)
    assert [row.split("</td><td>")[0] for row in rows] == ["critic", "recommender", "inventory"]
    # 1e-3 / (1 + n / 12) comes to 0.012 / n; 12/23 of the first after 11 updates.
    assert rows[2].split("</td><td>")[1:5] == ["0.001 → 0.00052", "0.012 / n", "yes", "yes"]
    assert rows[0].endswith("</td><td>")  # a critic has no policy


def test_speeds_that_theory_does_not_cover_are_said_to_be_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", power_critic=0.4)
    html = write_report(run).read_text()
    assert "That meets what theory asks" not in html
    assert "Theory asks for more" in html
    assert "critic/critic: the squares of the step sizes (in the end 0.0108 / n^0.4) sum to infinity" in html


def test_the_factor_of_a_budget_is_shown_where_there_is_one(tmp_path: Path) -> None:
    assert "budget's factor" not in table(speeds_of(write_run(tmp_path / "without")))[0]
    found = speeds_of(write_run(tmp_path / "with", factor=0.25, drift_inventory=1e-3))
    header, rows = table(found)
    assert header[-1] == "budget's factor"
    assert {cells[0]: cells[-1] for cells in rows} == {
        "critic": "",
        "recommender": "",
        "inventory": "0.25 → 0.25",
    }


def test_a_run_without_parts_has_no_such_section(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert (write_report(run).parent / "speeds.png").is_file()
    for name in ("speeds.csv", "separations.csv"):
        (run / name).unlink()
    folder = write_report(run).parent
    assert "Learning speeds" not in (folder / "index.html").read_text()
    assert not (folder / "speeds.png").exists()
    assert not any("speeds" in gap or "settings" in gap for gap in read_run(run).gaps)


def test_without_settings_or_separations_the_speeds_alone_are_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "separations.csv").unlink()
    (run / "settings.yaml").write_text("nonsense: 1")
    record = read_run(run)
    assert any(gap.startswith("settings.yaml cannot be read") for gap in record.gaps)
    assert sentences(speeds_of(run)) == []
    assert "<h2>Learning speeds</h2>" in write_report(run).read_text()


def test_a_line_cut_short_is_dropped_and_a_foreign_table_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with (run / "speeds.csv").open("a") as file:
        file.write("13,1300,critic,critic,0.0")
    assert len(speeds_of(run).parts["critic/critic"]["iteration"]) == UPDATES
    (run / "speeds.csv").write_text("iteration,module\n1,a\n")
    record = read_run(run)
    assert record.speeds is None
    assert any("speeds.csv has no column part, learning_rate" in gap for gap in record.gaps)


@pytest.mark.parametrize("kept", [1, 2])
def test_a_run_of_a_single_update_has_a_report(tmp_path: Path, kept: int) -> None:
    run = write_run(tmp_path / "run")
    for name, rows in (("speeds.csv", 3), ("separations.csv", 2), ("progress.csv", 1)):
        lines = (run / name).read_text().splitlines(keepends=True)
        (run / name).write_text("".join(lines[: 1 + rows * kept]))
    assert ("and" in sentences(speeds_of(run))[-1]) == (kept == 2)
    assert "<h2>Learning speeds</h2>" in write_report(run).read_text()


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("inventory/actor", "inventory"),
        ("critic/critic", "critic"),
        ("inventory_critic/critic", "inventory critic"),
        ("firm/recommender", "firm, recommender"),
    ],
)
def test_parts_are_called_what_readers_call_them(part: str, name: str) -> None:
    assert plain_name(part) == name


def test_listed_speeds_that_are_not_valid_are_a_gap(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    settings = yaml.safe_load((run / "settings.yaml").read_text())
    settings["timescales"] = {"inventory": {"actor": {"kind": "unheard of"}}}
    (run / "settings.yaml").write_text(yaml.safe_dump(settings))
    assert speeds_of(run).declared is None
    (gap,) = [gap for gap in read_run(run).gaps if gap.startswith("settings.yaml")]
    assert "unheard of" in gap
