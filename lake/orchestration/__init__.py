"""Turn tables into Dagster assets, checks, schedules and sensors.

Nothing else imports Dagster, which is an extra of the distribution. So whoever needs this room without it gets one
message that says what to install.
"""

from lake.engine.packages import require_extra

require_extra("dagster")
