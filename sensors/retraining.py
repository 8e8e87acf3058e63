"""Train the model of late departures anew once a month.

It is put to work if it is better than the mean.

This is one run of the asset `models/delay_model`. What it delivers reaches the scores as any other delivery does: by
the sensor `reconcile`, the schedule `daily` or `lakehouse refresh`.
"""

import dagster as dg

__all__ = ["build_retraining"]

CRON = "0 5 1 * *"


def build_retraining(model: dg.AssetKey) -> dg.ScheduleDefinition:
    """Build the schedule `retrain`, on the first of a month at five UTC.

    It is off until somebody switches it on.
    """
    return dg.ScheduleDefinition(
        name="retrain",
        target=dg.AssetSelection.assets(model),
        cron_schedule=CRON,
        execution_timezone="UTC",
        description=__doc__,
    )
