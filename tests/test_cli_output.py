"""What the command line shows: help, progress, rows, and what it costs to start."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

import invrec_rllib
from invrec_rllib.cli import app
from invrec_rllib.cli.assignments import parse_assignments, parse_lift
from invrec_rllib.cli.console import FractionProgress, check_free, clock
from invrec_rllib.cli.training_screen import TrainingScreen
from invrec_rllib.errors import InputError
from invrec_rllib.seals import DamagedCheckpointWarning


def commands() -> Iterator[tuple[list[str], Any]]:
    """Every command with its path, groups included."""
    waiting: list[tuple[list[str], Any]] = [([], typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop()
        yield path, command
        waiting += [([*path, name], child) for name, child in getattr(command, "commands", {}).items()]


LEAVES = [(path, command) for path, command in commands() if not hasattr(command, "commands")]


@pytest.mark.parametrize("path", [path for path, _ in commands()], ids=" ".join)
def test_every_command_has_help(path: list[str]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.stdout


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_every_command_has_examples_with_options_that_exist(path: list[str], command: Any) -> None:
    lines = [line.strip() for line in command.epilog.split("\n\n")]
    assert lines[0] == "Examples:"
    options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    own = [line for line in lines[1:] if line.startswith(f"invrec {' '.join(path)}")]
    assert own
    for line in own:
        words = shlex.split(line.replace(";", " "))
        assert {word for word in words if word.startswith("--")} <= options, line


@pytest.mark.parametrize("command", [command for _, command in commands()], ids=lambda each: each.name)
def test_no_word_of_the_help_is_taken_for_markup(command: Any) -> None:
    """Rich drops words in brackets, such as those that name an extra."""
    texts = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    for text in filter(None, texts):
        assert Text.from_markup(text).plain == text.replace("\\[", "[")


@pytest.mark.parametrize("path", [["scenario"], ["study"], ["bench"]], ids=" ".join)
def test_every_group_shows_examples_of_its_commands(path: list[str]) -> None:
    group = next(command for found, command in commands() if found == path)
    heading, *lines = [line.strip() for line in group.epilog.split("\n\n")]
    assert heading == "Examples:"
    assert len(lines) > 1
    for line in lines:
        name, *words = shlex.split(line.removeprefix(f"invrec {path[0]} "))
        options = {option for parameter in group.commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def modules_after(code: str) -> set[str]:
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{code}\nimport sys, json; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(json.loads(finished.stdout.splitlines()[-1]))


CALL = """
from invrec_rllib.cli import app
try:
    app({arguments})
except SystemExit as end:
    assert end.code == 0, end.code
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["scenario", "list"],
        ["scenario", "show", "tiny", "--json"],
        ["study", "list"],
    ],
    ids=" ".join,
)
def test_help_and_scenarios_load_neither_ray_nor_torch(arguments: list[str]) -> None:
    loaded = modules_after(CALL.format(arguments=arguments))
    assert "typer" in loaded
    assert not {"ray", "torch", "pandas", "matplotlib", "statsmodels"} & loaded


def test_importing_the_package_loads_no_heavy_library() -> None:
    loaded = modules_after("import invrec_rllib")
    assert "invrec_rllib" in loaded
    assert not {"ray", "torch", "numpy", "scipy", "pandas"} & loaded


@pytest.mark.parametrize("name", invrec_rllib.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(invrec_rllib, name) is not None
    assert name in dir(invrec_rllib)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = invrec_rllib.nothing  # type: ignore[attr-defined]


def test_the_version_is_the_installed_one() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.stdout == f"invrec {invrec_rllib.__version__}\n"


def test_an_unknown_option_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["scenario", "list", "--nothing"])
    assert result.exit_code == 2
    assert "--nothing" in result.stderr


def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("invrec_rllib.cli.scenarios.load_scenario", interrupt)
    result = CliRunner().invoke(app, ["scenario", "list"])
    assert result.exit_code == 130
    assert "Traceback" not in result.stderr


def test_a_fault_of_ours_is_neither_hidden_nor_called_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("our fault")

    monkeypatch.setattr("invrec_rllib.cli.scenarios.load_scenario", fail)
    result = CliRunner().invoke(app, ["scenario", "list"])
    assert result.exit_code == 1
    assert isinstance(result.exception, RuntimeError)


def test_a_warning_of_ours_is_a_message_and_those_of_others_stay_warnings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def warn() -> tuple[str, ...]:
        warnings.warn("an older checkpoint is used", DamagedCheckpointWarning, stacklevel=1)
        warnings.warn("someone else's", UserWarning, stacklevel=1)
        return ()

    monkeypatch.setattr("invrec_rllib.cli.scenarios.preset_names", warn)
    with pytest.warns(UserWarning, match="someone else") as others:
        result = CliRunner().invoke(app, ["scenario", "list"])
    assert result.exit_code == 0, result.output
    assert result.stderr == "Warning: an older checkpoint is used\n"
    assert [str(other.message) for other in others] == ["someone else's"]


def test_assignments_are_yaml_values_of_known_keys() -> None:
    texts = ["a=1e-3", "b=[1, 2]", "c=null", "d=word"]
    values = parse_assignments(texts, option="--set", known=["a", "b", "c", "d"])
    assert values == {"a": 0.001, "b": [1, 2], "c": None, "d": "word"}
    with pytest.raises(InputError, match="not a YAML value"):
        parse_assignments(["a=[1"], option="--set", known=["a"])


def test_a_lift_is_a_number_or_a_name() -> None:
    assert (parse_lift("0.5"), parse_lift("careful")) == (0.5, "careful")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3725, "1:02:05")])
def test_durations_are_clocks(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_file_that_exists_is_free_only_with_force(tmp_path: Any) -> None:
    check_free(None, force=False)
    check_free(tmp_path / "new", force=False)
    check_free(tmp_path, force=True)
    with pytest.raises(InputError, match="--force"):
        check_free(tmp_path, force=False)


def test_progress_of_pieces_is_a_line_per_piece_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with FractionProgress(work="episodes", amount=50) as progress:
        for name in ("silo", "trained"):
            for fraction in (0.5, 1.0):
                progress(name, fraction)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.split(":")[0] for line in captured.err.splitlines()] == ["silo", "trained"]
    assert "50 episodes" in captured.err


def row(iteration: int, **changes: Any) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "env_steps": 100 * iteration,
        "seconds": 1.0,
        "profit_mean": 90.0,
        "profit_eval_mean": None,
        "fill_rate": 0.951,
        "lost_units": 12.34,
        "holding_cost": 5.0,
        **changes,
    }


def screen(**changes: Any) -> TrainingScreen:
    arguments: dict[str, Any] = {
        "title": "Training",
        "currency": "USD",
        "silo_profit": lambda: 100.0,
        "evaluates": True,
        "final_episodes": 10,
        "on_interrupt": lambda: "go on",
    }
    return TrainingScreen(**{**arguments, **changes})


def test_only_evaluated_iterations_get_a_row_and_it_holds_the_lead_over_the_silo(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with screen() as shown:
        shown.start(0, 20)
        shown.show_iteration(row(1))
        shown.show_iteration(row(2, profit_eval_mean=103.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2].split()[:3] == ["iteration", "env", "steps"]
    assert lines[-1].split()[:8] == ["2/20", "200", "103.0", "+3.0", "%", "95.1", "%", "12.3"]


def test_without_evaluation_rows_show_training_profit_and_no_lead(capsys: pytest.CaptureFixture[str]) -> None:
    def never() -> float:
        raise AssertionError("nothing to compare with")

    with screen(evaluates=False, silo_profit=never) as shown:
        shown.start(0, 20)
        shown.show_iteration(row(1))
    assert capsys.readouterr().err.splitlines()[-1].split()[:4] == ["1/20", "100", "90.0", "-"]


def test_the_rate_of_a_resumed_run_counts_only_its_own_steps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [50.0]
    monkeypatch.setattr("invrec_rllib.cli.training_screen.time.monotonic", lambda: now[0])
    with screen() as shown:
        shown.start(10, 14)
        now[0] += 2.0
        shown.show_iteration(row(11, profit_eval_mean=100.0))
    # 100 steps in 2 seconds; three more iterations of 2 seconds.
    assert capsys.readouterr().err.splitlines()[-1].split()[-2:] == ["50", "0:06"]


def test_an_interrupted_screen_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    shown = screen().__enter__()
    shown.start(0, 20)
    shown.__exit__(KeyboardInterrupt)
    assert capsys.readouterr().err.splitlines()[-1] == "go on"
