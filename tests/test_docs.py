"""The README does what it says: its examples run, its commands exist, its links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from invrec_rllib.cli import app
from invrec_rllib.studies.files import load_study
from invrec_rllib.studies.rows import read_rows
from invrec_rllib.studies.tables import make_lines, to_markdown

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```python\n(.*?)```", README, re.DOTALL))
COMMANDS = dict(re.findall(r"<!-- command: (\w+) -->\n```bash\n(.*?)\n```", README, re.DOTALL))


def run_example(name: str, folder: Path) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", EXAMPLES[name]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_every_python_block_is_run_here() -> None:
    assert set(EXAMPLES) == {"environment", "rllib", "timescales", "mtmappo", "calibration"}
    assert README.count("```python") == len(EXAMPLES)


def test_the_example_of_the_environment_runs(tmp_path: Path) -> None:
    printed = run_example("environment", tmp_path)
    assert re.search(r"profit of the textbook's actions: [\d,]+$", printed.strip())


@pytest.mark.slow
def test_the_example_inside_rllib_runs(tmp_path: Path) -> None:
    printed = run_example("rllib", tmp_path)
    assert "inventory" in printed
    assert "recommender" in printed


@pytest.mark.slow
def test_the_example_of_timescales_says_how_they_separate(tmp_path: Path) -> None:
    printed = run_example("timescales", tmp_path)
    assert "No violations" in printed
    assert "0.001 0.003" in printed


@pytest.mark.slow
def test_the_example_of_mtmappo_runs(tmp_path: Path) -> None:
    profit, rate = run_example("mtmappo", tmp_path).split()[-2:]
    assert float(profit) > 0
    assert float(rate) == pytest.approx(4e-3)


@pytest.mark.slow
def test_the_example_of_calibration_runs(tmp_path: Path) -> None:
    pytest.importorskip("statsmodels")
    assert "| silo |" in run_example("calibration", tmp_path)
    assert (tmp_path / "drinks.yaml").is_file()


def test_two_commands_of_one_line_do_all_the_set_up() -> None:
    assert set(COMMANDS) == {"main", "tests"}
    assert all("\n" not in command for command in COMMANDS.values())
    assert "invrec train --scenario grocery" in COMMANDS["main"]
    assert "invrec report" in COMMANDS["main"]
    assert COMMANDS["tests"].endswith("&& pytest")


def test_ci_installs_and_tests_as_the_readme_says() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    installs = [part for part in COMMANDS["tests"].split(" && ") if part.startswith("pip install")]
    assert len(installs) == 2
    for install in installs:
        assert f"step {install.replace('pip install', 'pip install -q')}\n" in script
    assert re.search(r"^step pytest\b(?!.*not slow)", script, re.MULTILINE)


def test_torch_is_the_same_version_everywhere() -> None:
    sources = [
        README,
        (ROOT / "constraints.txt").read_text("utf-8"),
        (ROOT / ".ci" / "run").read_text("utf-8"),
    ]
    assert {version for text in sources for version in re.findall(r"torch==([\d.]+\d)", text)} == {"2.13.0"}


def test_every_command_and_option_of_the_readme_exists() -> None:
    # Code spans, without the table's escapes; words in capitals are arguments, "..." stands for anything.
    spans = re.findall(r"`(invrec [^`]*)`", README)
    calls = [call for span in spans for call in span.split("`, `")] + [
        part for command in COMMANDS.values() for part in command.split(" && ") if part.startswith("invrec")
    ]
    assert len(calls) >= 10
    for call in calls:
        words = shlex.split(call.replace("\\|", "|"))[1:]
        path = []
        for word in words:
            if not re.fullmatch(r"[a-z]+", word) or len(path) == 2:
                break
            path.append(word)
        if path and path[0] not in ("scenario", "study", "bench"):
            path = path[:1]
        shown = CliRunner().invoke(app, [*path, "--help"])
        assert shown.exit_code == 0, call
        for option in [word for word in words if word.startswith("--")]:
            assert option in shown.stdout, call


def test_every_local_link_leads_to_a_file() -> None:
    for document in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / document).read_text("utf-8")
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
            assert (ROOT / target).exists(), f"{document}: {target}"


def test_the_table_of_parts_is_what_the_stored_rows_give() -> None:
    study = load_study("parts")
    lines = make_lines(study, read_rows(ROOT / "invrec_rllib/studies/results/parts.csv"))
    made = to_markdown(study, lines).split("## paper")[1].split("All that were tried")[0].strip()
    stated = README.split("<!-- parts: begin -->")[1].split("<!-- parts: end -->")[0].strip()
    assert stated == made


def test_the_table_of_pathwise_pairs_is_what_the_stored_findings_give() -> None:
    found = {name: read_findings(f"pathwise-{name}") for name in ("tiny", "paper", "worlds")}
    worlds = {"tiny": found["tiny"], "paper": found["paper"], **by_world(found["worlds"])}
    stated = (
        README.split("<!-- pathwise: begin -->")[1].split("<!-- pathwise: end -->")[0].strip().splitlines()
    )
    assert stated[2:] == [row_of(name, data) for name, data in worlds.items()]


def read_findings(name: str) -> dict[str, Any]:
    file = ROOT / "invrec_rllib/reproduction/results" / f"{name}.json"
    return dict(json.loads(file.read_text("utf-8")))


def by_world(findings: dict[str, Any]) -> dict[str, Any]:
    return {name: data for name, data in findings.items() if isinstance(data, dict)}


def row_of(world: str, findings: dict[str, Any]) -> str:
    def percent(name: str) -> str:
        value, low, high = (
            100.0 * (findings[f"{name}{end}"] - 1.0) for end in ("", "_episodes_low", "_episodes_high")
        )
        return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"

    best = "optimum" if "profit_over_optimum" in findings else "bound"
    cells = (
        f"`{world}`",
        f"{findings['seeds']}",
        percent("profit_over_silo"),
        percent("units_over_silo"),
        percent("profit_over_coordinated"),
        f"{percent(f'profit_over_{best}')} ({'exact optimum' if best == 'optimum' else 'upper bound'})",
    )
    return f"| {' | '.join(cells)} |"
