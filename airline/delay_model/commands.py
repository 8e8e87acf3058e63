"""Define the command `lakehouse model`.

It trains a model, lists them, and puts an earlier one to work again.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table as Grid

from lake.commands.options import FAILED, out, parse_option
from lake.declare.days import Days

if TYPE_CHECKING:
    from lake.project.environment import Environment

__all__ = ["Action", "model"]


class Action(StrEnum):
    """The actions of `lakehouse model`."""

    TRAIN = "train"
    LIST = "list"
    ROLLBACK = "rollback"


def model(
    action: Annotated[Action, typer.Argument(help="Train one, list all, or put an earlier one to work again.")],
    model_id: Annotated[
        str | None, typer.Argument(help="With rollback: which; the one at work before the last one if none.")
    ] = None,
    serves_from: Annotated[
        str | None, typer.Option("--from", help="First flight date that it scores, 2024-01-31; today if none.")
    ] = None,
    learned: Annotated[str | None, typer.Option(help="With train: the flight dates that it learns from.")] = None,
    held_out: Annotated[str | None, typer.Option(help="With train: the later ones that it is measured on.")] = None,
) -> None:
    """Train, list or roll back models of late departures.

    A trained model is measured on later days. A rollback goes back to an earlier one.
    """
    start = parse_option("--from", serves_from, Days.parse)
    for option, days in (("--learned", learned), ("--held-out", held_out)):
        parse_option(option, days, Days.parse)
    from lake.project.environment import open_environment

    environment = open_environment()
    if action is Action.LIST:
        _list(environment)
    elif action is Action.ROLLBACK:
        _roll_back(environment, model_id, start)
    elif not _train(environment, start, learned or "", held_out or ""):
        sys.exit(FAILED)


def _list(environment: Environment) -> None:
    from airline.delay_model.delivering import deliveries

    grid = Grid("issue", "model", "scores from", "learned", "measured until", "log loss", "mean's", "")
    for one in deliveries(environment.settings.landing):
        learned = f"{one.trained_from}..{one.trained_until}"
        losses = f"{one.log_loss:.4f}", f"{one.usual_log_loss:.4f}"
        broken = "" if one.is_intact else "changed since: refused"
        grid.add_row(str(one.issue), one.model_id, one.serves_from, learned, one.held_out_until, *losses, broken)
    out.print(grid)


def _roll_back(environment: Environment, model_id: str | None, start: Days | None) -> None:
    from airline.delay_model.delivering import roll_back

    settings = environment.settings
    done = roll_back(settings.landing, settings.today(), model_id, start.start if start else None)
    out.print(f"model {done.model_id} scores flights from {done.serves_from} on, as delivery {done.issue}")
    out.print("next: lakehouse refresh gold.flight_delay_scores")


def _train(environment: Environment, start: Days | None, learned: str, held_out: str) -> bool:
    """Run the asset in this process, recorded by Dagster.

    Returns:
        Whether the model was put to work.
    """
    from airline.delay_model.assets import BETTER, MODEL, Training, build_delay_model
    from lake.orchestration.assets import CAUSE, PID, this_process
    from lake.orchestration.dagster_home import open_instance
    from lake.orchestration.definitions import build_definitions

    settings, node = environment.settings, MODEL.to_python_identifier()
    definitions = build_definitions(settings, environment.tables.values(), own=build_delay_model)
    serves_from = str(start.start) if start else ""
    chosen = Training(learned=learned, held_out=held_out, serves_from=serves_from)
    with open_instance(settings) as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[MODEL],
            run_config={
                "ops": {node: {"config": chosen.model_dump()}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            tags={CAUSE: "command line", PID: this_process(), "dagster/max_retries": "0"},
            raise_on_error=False,
        )
    if not result.success:
        failure = result.failure_data_for_node(node)
        data = failure.user_failure_data if failure else None
        out.print((data.description if data else None) or str(failure), markup=False)
        return False
    (told,) = result.asset_materializations_for_node(node)
    for name, value in told.metadata.items():
        if name not in ("calibration", "importance"):
            out.print(f"{name}: {value.value}", markup=False)
    (verdict,) = result.get_asset_check_evaluations()
    out.print(f"{BETTER}: {'passed' if verdict.passed else 'FAILED'}: {verdict.description}", markup=False)
    if verdict.passed:
        out.print("next: lakehouse refresh gold.flight_delay_scores")
    return verdict.passed
