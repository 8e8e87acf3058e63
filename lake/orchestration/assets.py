"""Turn a table into a Dagster asset with checks.

Nowhere else do the two meet. A run computes all its days of a table in one Spark job, and each day still gets its own
verdict: rows and versions where it was written, "failed" where it broke a `fail` contract, so that a retry takes
exactly the failed days.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions below.
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from pyspark.sql import SparkSession

from lake.batch.ahead import Ahead, Work, ahead_of
from lake.batch.plan import Step
from lake.batch.refresh import Receipt, refresh
from lake.declare.contract import ContractColumn
from lake.declare.days import Days
from lake.declare.graph import feeds_of
from lake.declare.table import Table
from lake.errors import LakeError
from lake.orchestration.checks import RUNBOOK, SINK_RUNBOOK, Inspection, Verdict, checks_of, next_step
from lake.orchestration.code_references import references_of
from lake.orchestration.column_lineage import as_metadata, lineage_of
from lake.orchestration.keys import asset_key
from lake.orchestration.open_lineage.runs import Told, tell_checks, telling
from lake.orchestration.partitions import build_partition_mapping, days_of_run, range_tags, tell_of_days
from lake.orchestration.red_checks import RedChecks
from lake.orchestration.resource import Lakehouse, LakehouseResource
from lake.orchestration.shown import observe_feed, sample_of
from lake.orchestration.standing import as_errors, verdict_of
from lake.project.settings import Settings
from lake.storage.location import is_local
from lake.write.store import DeltaStore

__all__ = [
    "CAUSE",
    "DAY_ROW_COUNT",
    "PID",
    "ROWS_READ",
    "ROW_COUNT",
    "TAKEN_RUN",
    "UNLESS_EQUAL",
    "WORKER",
    "build_asset",
    "build_check_evaluation",
    "build_check_result",
    "build_checks",
    "build_column",
    "build_feeds",
    "checks_step",
    "compute_step",
    "step_tags",
    "table_of",
    "this_process",
]

UNLESS_EQUAL = ".dagster/lakehouse_unless_equal"
"""Run tag "true": commit only the days that differ from what is stored. The UI hides tags that begin so."""
PID = ".dagster/lakehouse_pid"
"""Run tag: the process that executes a run of the command line; nothing else notices when it is killed."""
WORKER = ".dagster/lakehouse_worker"
"""Run tag: the process that executes a run which Dagster started."""
TAKEN_RUN = ".dagster/lakehouse_taken_run"
"""Run tag: the run that the warm process took. A run that is started again has the tags of the one before it."""
CAUSE = "lakehouse/cause"
"""Run tag: who or what asked for the run."""

ROWS_READ = "rows read"
"""Metadata of a day: the candidate rows. What became of them stands beside it, and Dagster counts those written."""
ROW_COUNT, DAY_ROW_COUNT = "dagster/row_count", "dagster/partition_row_count"
"""Metadata of a table without days, or of a day: the rows that were written. Dagster draws them by itself."""
_COUNTED = {ROWS_READ: "rows_in", "rejected": "rejected", "duplicates": "duplicates", "disagreeing": "disagreeing"}
RETRIES, RETRY_AFTER_SECONDS = 2, 60
SHOWN_DAYS = 5


def step_tags(step: Step, cause: str) -> dict[str, str]:
    """Return the tags of a run that computes a step.

    They switch off Dagster's retries: the caller asks again where the run fails.
    """
    tags = {CAUSE: cause, "dagster/max_retries": "0"}
    if step.days is not None:
        tags |= range_tags(step.days)
    if step.unless_equal:
        tags[UNLESS_EQUAL] = "true"
    return tags


def compute_step(table: Table) -> str:
    """Return the step of a run that computes a table."""
    return f"{table.layer}__{table.name}"


def table_of(step: str) -> str:
    """Return the name `layer.table` of what a step computes."""
    return step.replace("__", ".", 1)


def checks_step(table: Table) -> str:
    """Return the step of a run that checks a table."""
    return f"{table.layer}__{table.name}__checks"


def build_feeds(tables: Iterable[Table]) -> list[dg.AssetSpec]:
    """Return the feeds of the tables as assets of the graph.

    Nothing computes them and nothing is upstream of them, because the UI backfills what has no other upstream, and asks
    "Are you sure?" where an input could be computed and never was.
    """
    feeds = feeds_of(tables)
    return [
        dg.AssetSpec(
            asset_key(feed), description=feed.description, group_name="feeds", metadata={"delivers": str(feed.delivers)}
        )
        for feed in sorted(feeds, key=lambda feed: feed.name)
    ]


def build_asset(table: Table, settings: Settings, partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Build the asset that computes a table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill_policy, with Dagster's version pinned
        return _build_asset(table, settings, partitions)


def _build_asset(table: Table, settings: Settings, partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(table),
        deps=[
            dg.AssetDep(asset_key(read.source), partition_mapping=build_partition_mapping(table, read))
            for read in table.reads
        ],
        partitions_def=partitions if table.day else None,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=table.layer,
        owners=[table.owner],
        tags=dict(table.tags),
        kinds={"pyspark", "deltalake", table.layer},
        description=table.description,
        metadata=_static_metadata(table, settings),
        code_version=table.code_version,
        pool=table.full_name,
    )
    def compute(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> dg.MaterializeResult[None]:
        _note_worker(context)
        with telling(settings, table, context.run, context.retry_number) as told:
            return _computed(context, lakehouse, table, settings, told)

    return compute


def _computed(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource, table: Table, settings: Settings, told: Told
) -> dg.MaterializeResult[None]:
    store = lakehouse.store(on_wait=lambda message: _tell(context, message))
    ahead = ahead_of(context.run.run_id, table)

    def compute_one(one: Table) -> Receipt:
        # Another table's wait is no event of this step.
        own = store if one is table else lakehouse.store()
        return _refreshed(one, _only_while(ahead, own), settings, context.run)

    try:
        receipt = ahead.take(table, Work(compute_one, lakehouse.spark.interrupt))
    except LakeError as error:
        raise _failure(error, context.run.tags) from error
    if receipt.failed_days and not receipt.damaged:
        # The step of the checks is skipped, and this is the one that has something to say.
        verdict = Inspection(table, store, settings).contract()
        evaluation = build_check_evaluation(asset_key(table), "contract", verdict)
        context.log_event(evaluation)
        RedChecks(settings.home).note(as_errors([evaluation]))
    for feed in table.feeds:
        context.log_event(observe_feed(store, feed))
    lineage = lineage_of(settings.home, table, lambda: store.spark, context.log.warning)
    told.note(table, store, receipt, lineage)
    return _report(context, table, receipt, store, as_metadata(lineage))


def _refreshed(table: Table, store: DeltaStore, settings: Settings, run: dg.DagsterRun) -> Receipt:
    return refresh(
        table,
        store,
        days_of_run(run.tags),
        unless_equal=run.tags.get(UNLESS_EQUAL) == "true",
        run_id=run.run_id,
        horizon=settings.horizon(),
    )


def _only_while(ahead: Ahead, store: DeltaStore) -> DeltaStore:
    """Return the store, which gives its session until the run ends."""

    def session() -> SparkSession:
        ahead.refuse_if_closed()
        return store.session()

    return replace(store, session=session)


def _note_worker(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> None:
    """Write into the run which process executes it.

    Where all of Dagster is killed, nobody else knows that the process is gone. A run that is started again has the tags
    of the one before it, so what they say may be the process of that one.
    """
    tag = PID if PID in context.run.tags else WORKER
    if context.run.tags.get(tag) != this_process():
        context.instance.add_run_tags(context.run.run_id, {tag: this_process()})


def this_process() -> str:
    """Process id and start time: ids are used again."""
    return f"{os.getpid()}@{psutil.Process().create_time():.2f}"


def _tell(context: dg.AssetExecutionContext, message: str) -> None:
    context.log.info(message)
    if PID in context.run.tags:
        print(message, file=sys.stderr, flush=True)


def _static_metadata(table: Table, settings: Settings) -> dict[str, Any]:
    place = f"{settings.tables}/{table.path}"
    return {
        "dagster/uri": Path(place).absolute().as_uri() if is_local(place) else place,
        "dagster/code_references": references_of(table, settings.root),
        "dagster/column_schema": dg.TableSchema(
            columns=[build_column(table, column) for column in table.contract.stored]
        ),
        "dagster/table_name": table.full_name,
        "key": ", ".join(table.key),
        "day": table.day or "none: refreshed whole",
        "fresh within": f"{(timedelta(days=1) + table.fresh_within) / timedelta(hours=1):g} hours after a day begins",
    }


def build_column(table: Table, column: ContractColumn) -> dg.TableColumn:
    """Describe a column, its class and its constraints."""
    checks = [rule.text for rule in table.contract.checks_on(column.name)]
    return dg.TableColumn(
        name=column.name,
        type=column.dtype.simpleString(),
        description=column.description,
        constraints=dg.TableColumnConstraints(
            nullable=column.nullable, unique=list(table.key) == [column.name], other=checks
        ),
        tags={
            **({"key": ""} if column.name in table.key else {}),
            **({"pii": str(column.pii)} if column.is_personal else {}),
        },
    )


def _report(
    context: dg.AssetExecutionContext, table: Table, receipt: Receipt, store: DeltaStore, lineage: Mapping[str, Any]
) -> dg.MaterializeResult[None]:
    if receipt.failed_days:
        _report_good_days(context, table, receipt)
        metadata: dict[str, Any] = {
            "failed_days": ", ".join(map(str, receipt.failed_days)),
            "unreadable_days": " ".join(map(str, receipt.damaged.days)) if receipt.damaged else "",
            "rejected": receipt.total.rejected,
            "rules": dict(receipt.rules),
            "runbook": next((one.page for one in receipt.problems), ""),
        }
        raise dg.Failure(_broken(receipt), metadata=metadata, allow_retries=False)
    context.log.info(_said(table, receipt))
    if table.day is None:
        return dg.MaterializeResult(
            metadata={**_day_metadata(receipt, None), **lineage, **sample_of(table, store, None)}
        )
    facts = dict(_metadata_of_days(table, receipt, days_of_run(context.run.tags)))
    newest = max((day for day, found in receipt.counts.items() if day in facts and found.rows_out), default=None)
    if newest is not None:
        facts[newest] = {**facts[newest], **lineage, **sample_of(table, store, newest)}
    tell_of_days(context, facts)
    return dg.MaterializeResult()


def _said(table: Table, receipt: Receipt) -> str:
    """Say in one line what a run did to a table."""
    total, days = receipt.total, f"{receipt.days}: " if receipt.days else ""
    counted = f"{total.rows_in:,} rows read, {total.rows_out:,} written, {total.rejected:,} rejected"
    return f"{table.full_name} {days}{counted}, {total.duplicates:,} duplicates, {receipt.seconds:.1f} s"


def _metadata_of_days(table: Table, receipt: Receipt, days: Days | None) -> Iterator[tuple[date, Mapping[str, Any]]]:
    """Return the metadata of each day of a run.

    A week or month is told of once, on the first of its days that the run has.
    """
    told: set[date] = set()
    for day in days or ():
        own = table.days_of(day).start
        if own not in told:
            yield day, _day_metadata(receipt, own)
        else:
            yield day, {**dict.fromkeys([DAY_ROW_COUNT, *_COUNTED], 0), "outcome": f"in {own}", "seconds": 0.0}
        told.add(own)


def _report_good_days(context: dg.AssetExecutionContext, table: Table, receipt: Receipt) -> None:
    """Materialize the days that were written.

    The step fails after this, and a retry then takes only the other days.
    """
    for day in receipt.counts:
        if day is not None and day not in receipt.failed_days:
            metadata = _day_metadata(receipt, day)
            context.log_event(dg.AssetMaterialization(asset_key(table), partition=str(day), metadata=metadata))


def _day_metadata(receipt: Receipt, day: date | None) -> dict[str, Any]:
    counts = receipt.counts[day]
    return {
        DAY_ROW_COUNT if day else ROW_COUNT: counts.rows_out,
        **{said: getattr(counts, name) for said, name in _COUNTED.items()},
        "outcome": receipt.outcomes[day],
        "version": receipt.version,
        "seconds": round(receipt.seconds, 2),
    }


def _broken(receipt: Receipt) -> str:
    return "\n".join(map(str, receipt.problems))


def _failure(error: LakeError, tags: Mapping[str, str]) -> Exception:
    """Return what Dagster is told: to try again later, or the next step.

    A run of the command line does not wait for a retry; its exit code tells the caller to.
    """
    if error.retryable and PID not in tags:
        return dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=RETRY_AFTER_SECONDS)
    metadata: dict[str, Any] = {"error": type(error).__name__, "retryable": error.retryable, "runbook": error.page}
    return dg.Failure(str(error), metadata=metadata, allow_retries=False)


def build_checks(table: Table, settings: Settings) -> dg.AssetChecksDefinition:
    """Build the checks of a table as one step.

    Each can be run by itself.
    """
    key = asset_key(table)
    specs = [dg.AssetCheckSpec(name, asset=key, description=promise) for name, promise in checks_of(table).items()]

    # The check goes before the next table, because a result is complete as soon as it can be.
    @dg.multi_asset_check(name=checks_step(table), specs=specs, can_subset=True, op_tags={"dagster/priority": "1"})
    def check(context: dg.AssetCheckExecutionContext, lakehouse: Lakehouse) -> Iterator[dg.AssetCheckResult]:
        _note_worker(context)
        days = days_of_run(context.run.tags)
        days = table.own_range(days) if days and table.day else days
        inspection = Inspection(table, lakehouse.store(), settings, days, run_id=context.run.run_id)
        results = []
        for name in checks_of(table):
            asked = dg.AssetCheckKey(key, name)
            if asked not in context.selected_asset_check_keys:
                continue
            result = build_check_result(key, name, verdict_of(inspection, asked, context.instance))
            RedChecks(settings.home).note(as_errors([result]))
            results.append(result)
            yield result
        tell_checks(settings, table, context.run, results)

    return check


def build_check_result(key: dg.AssetKey, name: str, verdict: Verdict) -> dg.AssetCheckResult:
    """Turn a verdict into the outcome of a check.

    It names the first failing days, how many there are, and the next step. That and the runbook's section are metadata
    too, because the UI shows a description without its line breaks.
    """
    step = "" if verdict.passed else next_step(".".join(key.path), name, verdict)
    facts = {**verdict.facts, **_failing_metadata(verdict)}
    where_to_go = {"next": step, "runbook": RUNBOOK.get(name, SINK_RUNBOOK)} if step else {}
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity[verdict.severity],
        description="\n".join([verdict.summary, *_first_failing(verdict), *([f"next: {step}"] if step else [])]),
        metadata={**{_in_words(name): fact for name, fact in facts.items()}, **where_to_go},
    )


def build_check_evaluation(key: dg.AssetKey, name: str, verdict: Verdict) -> dg.AssetCheckEvaluation:
    """Turn a verdict into an event.

    It is for code that reaches a verdict outside of the step of the checks.
    """
    result = build_check_result(key, name, verdict)
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=name,
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
    )


def _in_words(fact: str) -> str:
    """Name a fact in the words that the numbers of a day have."""
    return {"rows_in": ROWS_READ, "rows_out": "rows written"}.get(fact, fact.replace("_", " "))


def _failing_metadata(verdict: Verdict) -> dict[str, Any]:
    if verdict.passed:
        return {"failing_days": 0}
    first = [str(day or "whole table") for day in verdict.failing][:SHOWN_DAYS]
    return {"failing_days": len(verdict.failing), "first_failing_days": ", ".join(first)}


def _first_failing(verdict: Verdict) -> list[str]:
    shown = [f"{day or 'whole table'}: {what}" for day, what in list(verdict.failing.items())[:SHOWN_DAYS]]
    rest = len(verdict.failing) - len(shown)
    return [*shown, f"and {rest} more days"] if rest else shown
