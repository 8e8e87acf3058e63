"""Make the events of OpenLineage."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from importlib.metadata import version

import dagster as dg
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    JobFacet,
    OutputDatasetFacet,
    RunFacet,
    data_quality_assertions_dataset,
    documentation_job,
    error_message_run,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    ownership_job,
    parent_run,
    processing_engine_run,
    set_producer,
)

from lake.declare.days import Days
from lake.declare.table import Table
from lake.orchestration.open_lineage.datasets import dataset_name, feed_facets, lineage_facet, table_facets
from lake.orchestration.open_lineage.runs import State, TableRun, Told, Written
from lake.project.settings import Settings

__all__ = ["check_event", "run_event"]

_PRODUCER = f"urn:lakehouse:{version('lakehouse')}"
set_producer(_PRODUCER)


def run_event(run: TableRun, state: State, at: datetime, told: Told) -> RunEvent:
    """Say that a run of a table began, goes on or has ended.

    Versions, column lineage and counts are in the event of the end.
    """
    return _event(
        run,
        state,
        at,
        {**_of_days(run.days), **_of_error(told.error)},
        inputs=list(_inputs(run, told)),
        outputs=[_output(run, told)],
    )


def check_event(run: TableRun, state: State, at: datetime, results: Sequence[dg.AssetCheckResult]) -> RunEvent:
    """Say what checks found in a table."""
    found = [
        data_quality_assertions_dataset.Assertion(
            one.check_name or "", one.passed, severity=one.severity.value.lower(), name=one.check_name
        )
        for one in results
    ]
    facets: dict[str, InputDatasetFacet] = {
        "dataQualityAssertions": data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(found)
    }
    name = dataset_name(run.settings, run.table)
    read = InputDataset(*name, facets=table_facets(run.table, _namespace(run.settings)), inputFacets=facets)
    return _event(run, state, at, _of_days(run.days), inputs=[read])


def _event(
    run: TableRun,
    state: State,
    at: datetime,
    facets: dict[str, RunFacet],
    inputs: list[InputDataset],
    outputs: Sequence[OutputDataset] = (),
) -> RunEvent:
    lake = _namespace(run.settings)
    engine = processing_engine_run.ProcessingEngineRunFacet(version("pyspark"), "spark")
    return RunEvent(
        eventTime=_moment(at),
        eventType=RunState[state],
        producer=_PRODUCER,
        run=Run(run.id, {**_of_parent(run, lake), "processing_engine": engine, **facets}),
        job=Job(lake, run.name, _of_job(run)),
        inputs=inputs,
        outputs=list(outputs),
    )


def _of_parent(run: TableRun, lake: str) -> dict[str, RunFacet]:
    if run.job is None:
        return {}
    return {"parent": parent_run.ParentRunFacet(parent_run.Run(run.origin), parent_run.Job(lake, run.job))}


def _namespace(settings: Settings) -> str:
    given = settings.openlineage_namespace or os.environ.get("OPENLINEAGE_NAMESPACE")
    return given or f"{settings.root.name or 'lakehouse'}.{settings.environment}"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _of_job(run: TableRun) -> dict[str, JobFacet]:
    how, kind = ("STREAMING", "TABLE") if run.job is None else ("BATCH", "CHECKS" if run.suffix else "TABLE")
    return {
        "documentation": documentation_job.DocumentationJobFacet(run.table.description),
        "jobType": job_type_job.JobTypeJobFacet(how, "LAKEHOUSE", kind),
        "ownership": ownership_job.OwnershipJobFacet([ownership_job.Owner(run.table.owner)]),
    }


def _of_days(days: Days | None) -> dict[str, RunFacet]:
    if days is None:
        return {}
    start, end = (datetime.combine(day, time(), UTC) for day in (days.start, days.last + timedelta(days=1)))
    return {"nominalTime": nominal_time_run.NominalTimeRunFacet(_moment(start), _moment(end))}


def _of_error(message: str | None) -> dict[str, RunFacet]:
    return {"errorMessage": error_message_run.ErrorMessageRunFacet(message, "python")} if message else {}


def _inputs(run: TableRun, told: Told) -> Iterator[InputDataset]:
    lake = _namespace(run.settings)
    for source in dict.fromkeys(read.source for read in run.table.reads):
        name = dataset_name(run.settings, source)
        if isinstance(source, Table):
            ids = told.ids.get(source.full_name), told.versions.get(source.full_name)
            yield InputDataset(*name, facets=table_facets(source, lake, *ids))
        else:
            yield InputDataset(*name, facets=feed_facets(source))


def _output(run: TableRun, told: Told) -> OutputDataset:
    table = run.table
    at = told.written.version if told.written else None
    facets: dict[str, DatasetFacet] = table_facets(table, _namespace(run.settings), told.ids.get(table.full_name), at)
    names = {read.source.full_name: dataset_name(run.settings, read.source) for read in table.reads}
    if told.lineage and (said := lineage_facet(told.lineage, names)):
        facets["columnLineage"] = said
    name = dataset_name(run.settings, table)
    return OutputDataset(*name, facets=facets, outputFacets=_of_rows(told.written))


def _of_rows(written: Written | None) -> dict[str, OutputDatasetFacet]:
    if written is None:
        return {}
    said = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(written.rows, written.size)
    return {"outputStatistics": said}
