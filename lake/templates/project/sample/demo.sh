#!/bin/sh
# Each command is shown before it runs. A second run finds nothing to do.
set -eu
cd "$(dirname "$0")/.."
lakehouse="$BIN/lakehouse"

say() { printf '\n== %s\n' "$*"; }
run() {
    printf '$ lakehouse %s\n' "$*"
    "$lakehouse" "$@"
}
# The sample is of March 2024. Without this file it is today, and every table would be late.
clock="${LAKEHOUSE_HOME:-.lakehouse}/landing/_clock.json"
it_is() {
    mkdir -p "$(dirname "$clock")"
    printf '{"now": "%s"}\n' "$1" >"$clock"
}
land() {
    for folder in tests/landing/*/landed_on="$1"; do
        run land "$(basename "$(dirname "$folder")")" "$folder"/* --day "$1"
    done
}

say "1. Two days land: messages about rides, the workshop's files, the list of stations"
[ -e "$clock" ] || it_is 2024-03-03T08:00:00Z
land 2024-03-01
land 2024-03-02
say "2. Every table is computed in batch"
run refresh
say "3. Two more days land, and are followed as a stream: the same tables, from the same declarations"
it_is 2024-03-04T08:00:00Z
land 2024-03-03
land 2024-03-04
run follow --since 2024-03-03 --until-idle
say "4. Days that are over are settled in batch, and so is what is for batch only"
run refresh
say "5. What is there"
run status
run sql "from gold.daily_districts order by day, district"
run quarantine silver.rides
cat <<'END'

Look at next:
  lakehouse sql "from gold.hourly_station_rides order by hour_at"     the table that the stream keeps
  lakehouse describe silver.rides                                     a table: what it is, where it comes from
  make up                                                             the same in a browser
  lakehouse add table gold NAME --reads silver.rides                  a table of your own
  make remove-sample                                                  begin with your own data
(lakehouse is in .venv/bin)
END
