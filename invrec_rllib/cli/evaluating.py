"""`invrec evaluate`: policies, runs, checkpoints and exported folders on common random numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invrec_rllib.cli.console import FractionProgress, check_free, examples, help_of, say
from invrec_rllib.cli.scenarios import load_with_lift
from invrec_rllib.cli.training import Information
from invrec_rllib.errors import InputError
from invrec_rllib.policies.registry import policy_names
from invrec_rllib.policies.tunable import TUNABLE
from invrec_rllib.policies.tuned import TunedParameters, load_tuned, shipped_parameters
from invrec_rllib.scenario import Scenario
from invrec_rllib.scenario.files import write_text_atomically

if TYPE_CHECKING:
    from invrec_rllib.evaluation import Comparison
    from invrec_rllib.learning.trained_pairs import TrainedPair
    from invrec_rllib.policies.base import Policy

# Not the seeds that `invrec train` validates and compares with.
DEFAULT_SEED = 3_000_003
_TUNED_ENDINGS = (".yaml", ".yml")


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "evaluate",
        help=help_of(evaluate),
        epilog=examples(
            "invrec evaluate runs/first",
            "invrec evaluate runs/first runs/second silo stock_aware --episodes 2000 --csv results.csv",
            "invrec evaluate runs/first/checkpoints/iteration_000060 --scenario my_shop.yaml --json",
            "invrec evaluate silo silo_best coordinated --scenario paper --information full",
        ),
    )(evaluate)


def evaluate(
    policies: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|CHECKPOINT|EXPORT|TUNED|POLICY...",
            help="Folders of runs, checkpoints or exports, YAML files of `invrec tune-policy`, and names of simple "
            f"policies: {', '.join(policy_names())}.",
        ),
    ],
    scenario: Annotated[
        str | None,
        typer.Option(help="Preset or file.", show_default="that of the runs, else grocery"),
    ] = None,
    lift: Annotated[
        str | None, typer.Option(help="Another lift of exposure: careful, high or a number.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes that each policy plays.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episodes.")] = DEFAULT_SEED,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="Policy to take paired differences to, repeatable.", show_default="silo, traditional"
        ),
    ] = None,
    information: Annotated[
        Information | None,
        typer.Option(help="What policies are shown.", show_default="that of the runs, else observed"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the whole comparison to this file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
) -> None:
    """Compare policies on the same episodes: the same customers, whatever each policy does.

    Of runs, checkpoints and exported folders only files that hold no code are read; see `invrec export`.
    """
    from invrec_rllib.evaluation import compare

    if as_json and markdown:
        raise InputError("--json and --markdown exclude each other: give one")
    check_free(csv, force=force)
    found = find_contenders(policies, information=information.value if information else None)
    world = load_with_lift(scenario or common_scenario(found.trained, otherwise="grocery"), lift)
    provenance = found.provenance(world, also=baseline or ())
    with FractionProgress(work="episodes", amount=episodes) as progress:
        comparison = compare(
            world,
            found.players,
            seed=seed,
            episodes=episodes,
            baselines=baseline or ("silo", "traditional"),
            information=found.information,
            provenance=provenance,
            progress=progress,
        )
    if csv is not None:
        write_text_atomically(csv.expanduser(), comparison.to_csv())
        say(f"{csv} written")
    _print(comparison, as_json=as_json, markdown=markdown)


def _print(comparison: Comparison, *, as_json: bool, markdown: bool) -> None:
    if as_json:
        typer.echo(comparison.to_json(), nl=False)
    elif markdown:
        typer.echo(comparison.to_markdown(), nl=False)
    else:
        from invrec_rllib.cli.tables import print_comparison

        print_comparison(comparison)


@dataclass(frozen=True)
class Contenders:
    """What arguments of the command line stand for: names of simple policies, tuned parameters, trained pairs.

    Attributes:
        arguments: as given.
        tuned: parameters of files, by argument.
        trained: runs, checkpoints and exports, by argument.
        pairs: the trained pairs, by argument.
        information: what all policies are shown.
    """

    arguments: tuple[str, ...]
    tuned: Mapping[str, TunedParameters]
    trained: Mapping[str, Trained]
    pairs: Mapping[str, TrainedPair]
    information: Any

    @cached_property
    def players(self) -> list[str | Policy]:
        """Policies, and names of simple ones, in the order of the arguments."""
        built: dict[str, Policy] = {**self.pairs, **_build(self.tuned)}
        return [built.get(argument, argument) for argument in self.arguments]

    def coordinated(self, names: Collection[str]) -> list[str]:
        """Names of the policies that are trained pairs, or of the simple policies of the names given, tuned or not."""
        kinds = [
            self.tuned[argument].policy if argument in self.tuned else argument for argument in self.arguments
        ]
        return [
            player if isinstance(player, str) else player.name
            for player, argument, kind in zip(self.players, self.arguments, kinds, strict=True)
            if argument in self.pairs or kind in names
        ]

    def provenance(self, world: Scenario, *, also: Iterable[str]) -> dict[str, str]:
        """Versions, checkpoints, and where parameters come from, those of further simple policies among them.

        Tells of parameters that were not tuned to this world.
        """
        from invrec_rllib.rundir import describe_machine

        parameters = _parameters_in_use([*self.arguments, *also], self.tuned, world, self.information)
        return _provenance(describe_machine(), self.trained) | parameters


def find_contenders(arguments: Sequence[str], *, information: str | None) -> Contenders:
    """Read the files and folders that arguments name.

    Args:
        arguments: names of simple policies, YAML files, and folders of runs, checkpoints or exports.
        information: what policies are to be shown; None: what the trained pairs saw in training, else observed.

    Raises:
        InputError: an argument names nothing of these, or pairs saw different things in training.
    """
    tuned = {argument: load_tuned(argument) for argument in arguments if argument.endswith(_TUNED_ENDINGS)}
    trained = find_trained([argument for argument in arguments if argument not in tuned])
    pairs = load_pairs(trained)
    return Contenders(tuple(arguments), tuned, trained, pairs, information or common_information(pairs))


def _build(tuned: Mapping[str, TunedParameters]) -> dict[str, Policy]:
    """The policies of files, each by the name of its file, in full where that would not tell them apart."""
    stems = [Path(argument).stem for argument in tuned]
    taken = (*policy_names(), *(stem for stem in stems if stems.count(stem) > 1))
    return {
        argument: found.build(name=argument if Path(argument).stem in taken else Path(argument).stem)
        for argument, found in tuned.items()
    }


def _parameters_in_use(
    policies: list[str], tuned: Mapping[str, TunedParameters], world: Scenario, information: Any
) -> dict[str, str]:
    """Where each policy's parameters come from; a message for those that were not tuned to this world."""
    sources = {}
    for argument in dict.fromkeys(policies):
        if argument in tuned:
            found = tuned[argument]
            sources[argument] = f"tuned to {found.scenario}, {found.information} information"
            if not (found.fits(world) and found.information == information):
                say(f"{argument}: {sources[argument]}, not to {world.name}, {information} information")
        elif argument in TUNABLE:
            shipped = shipped_parameters(argument, world, information=information)
            sources[argument] = "tuned, shipped" if shipped else "by formula"
            if not shipped:
                say(
                    f"{argument} plays with parameters by formula, not tuned to this world: "
                    "see invrec tune-policy --help"
                )
    return {f"parameters of {argument}": source for argument, source in sources.items()}


@dataclass(frozen=True)
class Trained:
    """A trained pair on disk, a checkpoint or an export, and the run around it, where there is one."""

    checkpoint: Path
    name: str
    scenario: Scenario | None


def find_trained(arguments: list[str]) -> dict[str, Trained]:
    """What the arguments that are no names of simple policies stand for."""
    return {argument: _find(argument) for argument in arguments if argument not in policy_names()}


def _find(argument: str) -> Trained:
    # Files of pairs need torch, which simple policies do without.
    from invrec_rllib.learning.pathwise.files import is_pair, load_pair
    from invrec_rllib.rundir import RunDir, find_checkpoint

    path = Path(argument).expanduser().resolve()
    if not path.is_dir():
        raise InputError(
            f"{argument!r} is neither a folder of a run, checkpoint or pair nor a policy; "
            f"policies: {', '.join(policy_names())}"
        )
    if is_pair(path):
        return Trained(path, name=path.name, scenario=load_pair(path).scenario)
    checkpoint = find_checkpoint(path)
    folder = checkpoint.parent.parent
    run = RunDir(folder) if (folder / "settings.yaml").is_file() else None
    return Trained(
        checkpoint,
        name=f"{folder.name}/{checkpoint.name}" if run and path == checkpoint else path.name,
        scenario=run.scenario() if run else None,
    )


def common_scenario(trained: Mapping[str, Trained], *, otherwise: str) -> str | Scenario:
    """The world that all of them were trained in; of none that say so, `otherwise`.

    Raises:
        InputError: they were trained in different ones.
    """
    worlds = {argument: pair.scenario for argument, pair in trained.items() if pair.scenario is not None}
    if not worlds:
        return otherwise
    first, world = next(iter(worlds.items()))
    for argument, other in worlds.items():
        if other != world:
            raise InputError(
                f"{first} and {argument} were trained on different worlds: choose one with --scenario"
            )
    return world


def load_pairs(trained: Mapping[str, Trained]) -> dict[str, TrainedPair]:
    """The trained pairs, by argument, each with a name of its own."""
    if not trained:
        return {}
    from invrec_rllib.learning.trained_pairs import load_trained

    names = [pair.name for pair in trained.values()]
    return {
        argument: load_trained(pair.checkpoint, name=pair.name if names.count(pair.name) == 1 else argument)
        for argument, pair in trained.items()
    }


def common_information(pairs: Mapping[str, TrainedPair]) -> str:
    """The information that all of them saw in training; without any, observed."""
    modes = {pair.information for pair in pairs.values()}
    if len(modes) > 1:
        raise InputError(
            f"the runs were trained with {' and '.join(sorted(modes))} information: compare only runs that saw the same"
        )
    return modes.pop() if modes else "observed"


def _provenance(machine: Mapping[str, Any], trained: Mapping[str, Trained]) -> dict[str, str]:
    versions = {f"version of {package}": str(version) for package, version in machine["versions"].items()}
    return {
        "command": machine["command"],
        "git revision": str(machine["git_revision"]),
        **versions,
        **{f"checkpoint of {argument}": str(pair.checkpoint) for argument, pair in trained.items()},
    }
