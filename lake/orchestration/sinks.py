"""Sink -> Dagster asset and checks.

A run loads the days that it was asked for; one that the sensor `publish` asks for loads what is due.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions below.
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from lake.batch.survey import Survey
from lake.declare.days import Day, Days
from lake.declare.sink import Sink
from lake.declare.words import counted
from lake.errors import LakeError
from lake.orchestration.assets import CAUSE, DAY_ROW_COUNT, build_check_evaluation, build_check_result, build_column
from lake.orchestration.checks import Verdict
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.keys import asset_key
from lake.orchestration.partitions import days_of_run, range_tags, tell_of_days
from lake.orchestration.resource import Lakehouse
from lake.project.environment import place_of
from lake.project.settings import Settings
from lake.serve.compare import find_differing, stand
from lake.serve.publish import Published, publish
from lake.serve.target import Load, Place
from lake.write.store import DeltaStore

__all__ = ["ONLY_DUE", "build_publisher", "build_sink_asset", "build_sink_checks", "record_published", "sink_key"]

ONLY_DUE = "lakehouse/only_due"
"""Run tag "true": load what is due of the sink, whatever days the run has."""
_EQUAL, _LOADED = "equal", "loaded"
_PROMISES = {
    _EQUAL: "Count and checksum of each day at the destination are those of the table.",
    _LOADED: "No day that may be loaded waits to be.",
}


def sink_key(sink: Sink) -> dg.AssetKey:
    """Name a sink as Dagster does."""
    return dg.AssetKey(sink.full_name.split("."))


def build_sink_asset(sink: Sink, settings: Settings, partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that loads a sink."""
    kind = type(sink.to).__name__
    mapping = dg.TimeWindowPartitionMapping() if sink.is_by_day else None

    def load(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> dg.MaterializeResult[None]:
        asked = days_of_run(context.run.tags)
        only_due = context.run.tags.get(ONLY_DUE) == "true"
        survey = _survey(sink, lakehouse.store(), settings)
        try:
            published = publish(sink, survey, _place(settings, context.log.info), None if only_due else asked)
        except LakeError as error:
            raise dg.Failure(str(error), allow_retries=error.retryable) from error
        if asked is None or not sink.is_by_day:
            return dg.MaterializeResult(metadata={**_facts(published), "rows": published.rows})
        tell_of_days(context, {day: _day_facts(published, day) for day in asked})
        return dg.MaterializeResult()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill_policy; the version of Dagster is pinned
        return dg.asset(
            key=sink_key(sink),
            deps=[dg.AssetDep(asset_key(sink.reads), partition_mapping=mapping)],
            partitions_def=partitions if sink.is_by_day else None,
            backfill_policy=dg.BackfillPolicy.single_run() if sink.is_by_day else None,
            group_name="serving",
            owners=[sink.reads.owner],
            kinds={kind.lower(), "serving"},
            description=sink.description or f"{sink.reads.full_name} for others.",
            tags=dict(sink.reads.tags),
            metadata=_static_metadata(sink),
            pool=sink.full_name,
        )(load)


def _static_metadata(sink: Sink) -> dict[str, Any]:
    hidden = {"left out": ", ".join(sorted(sink.left_out)), "hashed": ", ".join(sorted(sink.hashed))}
    return {
        "destination": repr(sink.to),
        "reads": sink.reads.full_name,
        "settled only": sink.settled_only,
        "dagster/column_schema": dg.TableSchema(
            columns=[build_column(sink.shown, c) for c in sink.shown.contract.stored]
        ),
        **{name: columns for name, columns in hidden.items() if columns},
    }


def build_sink_checks(sink: Sink, settings: Settings) -> dg.AssetChecksDefinition:
    """The checks of a sink."""
    key = sink_key(sink)
    specs = [dg.AssetCheckSpec(name, asset=key, description=promise) for name, promise in _PROMISES.items()]

    @dg.multi_asset_check(name=f"serving__{sink.name}__checks", specs=specs, can_subset=True)
    def check(context: dg.AssetCheckExecutionContext, lakehouse: Lakehouse) -> Iterator[dg.AssetCheckResult]:
        store, place = lakehouse.store(), _place(settings)
        asked = {key.name for key in context.selected_asset_check_keys}
        if _EQUAL in asked:
            days = days_of_run(context.run.tags)
            compared, differing = find_differing(sink, _survey(sink, store, settings), place, days)
            yield build_check_result(key, _EQUAL, _judge_equal(sink, compared, differing))
        if _LOADED in asked:
            yield build_check_result(key, _LOADED, _judge_loaded(sink, store, settings, place))

    return check


def _judge_equal(sink: Sink, compared: int, differing: Mapping[Day, str]) -> Verdict:
    remedy = f"lakehouse publish {sink.name} --days DAY loads it again"
    return Verdict(f"{counted(compared, 'day')} compared", differing, remedy=remedy)


def _judge_loaded(sink: Sink, store: DeltaStore, settings: Settings, place: Place) -> Verdict:
    due = stand(sink, _survey(sink, store, settings), place).due.days
    return Verdict(f"{counted(len(due), 'day')} to be loaded", due, "WARN", remedy=f"lakehouse publish {sink.name}")


def build_publisher(settings: Settings, sinks: Sequence[Sink]) -> dg.SensorDefinition:
    """Build the sensor `publish`, which is off until somebody switches it on.

    It watches what destinations say that they hold, and the logs of their tables. It has no cursor: what is due is
    looked up each time. A sink is not asked for again while a run of it is under way. After downtime, or where a
    destination was lost, the next tick asks for all that is due.
    """
    job = dg.define_asset_job(
        "publish", selection=dg.AssetSelection.assets(*map(sink_key, sinks)), description="What `publish` asks for."
    )

    @dg.sensor(
        name="publish",
        job=job,
        minimum_interval_seconds=30,
        description="Loads the sinks whose tables hold days that their destinations do not.",
    )
    def publisher(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> Iterator[dg.RunRequest | dg.SkipReason]:
        asked = False
        for sink in sinks:
            if _is_under_way(context.instance, sink):
                continue
            try:
                due = stand(sink, _survey(sink, lakehouse.store(), settings), _place(settings)).due
            except LakeError as error:
                context.log.error(str(error))
                continue
            if due.days:
                asked = True
                yield dg.RunRequest(asset_selection=[sink_key(sink)], tags=_tags(sink, list(due.days)))
        if not asked:
            yield dg.SkipReason("every destination is up to date, or being loaded")

    return publisher


def _tags(sink: Sink, due: Sequence[Day]) -> dict[str, str]:
    days = [day for day in due if day]
    own = range_tags(Days.between(min(days), max(days))) if days and sink.is_by_day else {}
    return {ONLY_DUE: "true", CAUSE: "publish", _SINK: sink.full_name, **own}


_SINK = "lakehouse/sink"
_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def _is_under_way(instance: dg.DagsterInstance, sink: Sink) -> bool:
    return bool(instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY, tags={_SINK: sink.full_name}), limit=1))


def record_published(settings: Settings, store: DeltaStore, published: Sequence[Published]) -> None:
    """Tell Dagster what a command has loaded, and what the checks say of it."""
    with open_instance(settings) as instance:
        for one in published:
            for day in one.days if one.sink.is_by_day else [None]:
                facts = _day_facts(one, day) if day else {**_facts(one), "rows": one.rows}
                partition = str(day) if day else None
                event = dg.AssetMaterialization(sink_key(one.sink), partition=partition, metadata=facts)
                instance.report_runless_asset_event(event)
            for name, verdict in _verdicts(one, store, settings):
                instance.report_runless_asset_event(build_check_evaluation(sink_key(one.sink), name, verdict))


def _verdicts(published: Published, store: DeltaStore, settings: Settings) -> Iterator[tuple[str, Verdict]]:
    """Judge a sink that was just loaded.

    A destination that takes copies has compared both ends before anybody saw them. Others are read now.
    """
    sink, place = published.sink, _place(settings)
    compared, differing = len(published.days), dict[Day, str]()
    if sink.to.follows_log:
        days = [day for day in published.days if day]
        own = Days.between(min(days), max(days)) if days else None
        compared, differing = find_differing(sink, _survey(sink, store, settings), place, own)
    yield _EQUAL, _judge_equal(sink, compared, differing)
    yield _LOADED, _judge_loaded(sink, store, settings, place)


def _facts(published: Published) -> dict[str, Any]:
    return {"version": published.version, "seconds": round(published.seconds, 2)}


def _day_facts(published: Published, day: Day) -> dict[str, Any]:
    load: Load | None = published.days.get(day)
    if load is None:
        return {**_facts(published), "outcome": "nothing to load"}
    rows = {DAY_ROW_COUNT: load.rows, "checksum": load.checksum}
    return {**_facts(published), **rows, "outcome": published.reasons.get(day, "changed")}


def _survey(sink: Sink, store: DeltaStore, settings: Settings) -> Survey:
    return Survey([sink.reads], store, settings.calendar())


def _place(settings: Settings, tell: Callable[[str], None] = lambda _: None) -> Place:
    return replace(place_of(settings), tell=tell)
