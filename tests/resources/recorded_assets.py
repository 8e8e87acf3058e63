"""Two assets for `test_event_log`: Dagster loads them from this file."""

import warnings

import dagster as dg

DAYS = dg.DailyPartitionsDefinition("2020-01-01", end_date="2020-03-01")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.BetaWarning)

    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def readings(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """Every day has its own numbers; with the tag `fail`, the third day fails."""
        days = list(context.partition_keys)
        if "fail" in context.run.tags:
            for day in days:
                if day != days[2]:
                    metadata = {"rows": int(day[-2:])}
                    context.log_event(dg.AssetMaterialization("readings", partition=day, metadata=metadata))
            raise dg.Failure("the third day is broken", allow_retries=False)
        for day in days:
            context.add_asset_metadata({"rows": int(day[-2:])}, partition_key=day)
        return dg.MaterializeResult(tags={"kind": "test"})

    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), deps=[readings])
    def totals() -> dg.MaterializeResult[None]:
        """Reads the other."""
        return dg.MaterializeResult()


@dg.asset
def names() -> dg.MaterializeResult[None]:
    """Has no days."""
    return dg.MaterializeResult(metadata={"rows": 1})


@dg.multi_asset_check(
    specs=[dg.AssetCheckSpec("many", asset="readings"), dg.AssetCheckSpec("few", asset="readings")], can_subset=True
)
def checks():  # type: ignore[no-untyped-def]
    """One passes, one does not."""
    yield dg.AssetCheckResult(asset_key="readings", check_name="many", passed=True, metadata={"rows": 1})
    yield dg.AssetCheckResult(asset_key="readings", check_name="few", passed=False, description="too many")


defs = dg.Definitions(assets=[readings, totals, names], asset_checks=[checks], executor=dg.in_process_executor)
