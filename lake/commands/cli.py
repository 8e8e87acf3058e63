"""The command line: `lakehouse ...`.

Commands only parse, call and print; what they do lives elsewhere. Exit codes are meant for schedulers:
`lake.commands.exit_codes` lists them.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.table import Table as Grid

from lake.commands.exit_codes import one_line
from lake.commands.extras import extras
from lake.commands.options import (
    FAILED,
    NOT_SET_UP,
    STOPPED,
    TRY_AGAIN,
    WRONG_ARGUMENTS,
    AsJson,
    DayRange,
    TableNames,
    err,
    out,
    parse_option,
)
from lake.commands.quick import prepare_look, prepare_run
from lake.commands.stopping import hear_signals
from lake.declare.days import Days, parse_day
from lake.errors import (
    BadDay,
    BadName,
    BadProjectName,
    BadSetting,
    FilesThere,
    FolderInUse,
    LakeError,
    SettingMissing,
    SetupError,
    UnknownFeed,
    UnknownSink,
    UnknownTable,
)

__all__ = ["add_extras", "app", "commands", "main"]

commands = typer.Typer(
    name="lakehouse",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A lakehouse whose tables give the same rows as a daily partition, as a backfill of years and as a stream.",
    epilog=one_line(),
)


def _print_version(*, is_asked: bool) -> None:
    if is_asked:
        from importlib import metadata  # which takes a tenth of the time of `--help`

        out.print(f"lakehouse {metadata.version('lakehouse')}")
        raise typer.Exit


@commands.callback()
def choose(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=lambda asked: _print_version(is_asked=asked), help="Print it.", is_eager=True
        ),
    ] = False,
) -> None:
    """Run a lakehouse with the same rows by day, by backfill and by stream.

    Its tables give the same rows as a daily partition, as a backfill of years and as a stream.
    """
    del version  # said by its callback


def main() -> None:
    """Run a command, and end the process without taking the interpreter down.

    Threads of Arrow may still call into Python then, at which C++ aborts a process whose work is done.
    """
    code: int | str | None = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_DFL)  # all output is written by now
    vars(threading)[
        "_shutdown"
    ]()  # as the interpreter does: pools that a library has left end, other threads are waited for
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the reader has gone
            stream.flush()
    os._exit(FAILED if isinstance(code, str) else code or 0)


def app() -> None:
    """Run a command and print errors that a user can cause as messages.

    They are never tracebacks.
    """
    stopped = hear_signals()
    _left_out_tables()  # forget those of a command before this one in the same process
    try:
        if not _is_own(sys.argv[1:2]):
            add_extras()
        commands()
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and not end.code and _left_out_tables():
            sys.exit(FAILED)
        # Typer turns an interrupt into an exit with this code, and says nothing.
        if isinstance(end, SystemExit) and end.code != STOPPED:
            raise
        _say_stopped(stopped())
    except LakeError as error:
        _end_with(error)
    except BrokenPipeError:
        sys.exit(FAILED)  # the reader has gone, as `head` does
    except Exception as error:
        if isinstance(error, RuntimeError) and isinstance(error.__cause__, KeyboardInterrupt):  # as DuckDB tells it
            _say_stopped(stopped())
        if (outage := _outage()) is None:
            raise
        _end_with(outage)


def _say_stopped(code: int) -> NoReturn:
    err.print("stopped; nothing half-written was left behind")
    sys.exit(code)


def _end_with(error: LakeError) -> NoReturn:
    err.print(f"[bold red]error[/] {_escape(str(error))}", soft_wrap=True)
    err.print(f"  runbook: {error.page}", soft_wrap=True)
    sys.exit(_exit_code(error))


def _outage() -> LakeError | None:
    """Return why the object store of the tables does not answer any more.

    None where it does, or they lie in none.
    """
    asked = sys.modules.get("lake.storage.reached")
    found: LakeError | None = None if asked is None else asked.outage()
    return found


def add_extras() -> None:
    """Add the commands of the project and of other distributions, once."""
    for name, command in extras("commands"):
        if not _is_own([name]):
            commands.command(name)(command)


def _is_own(words: Sequence[str]) -> bool:
    """Tell whether the first word names a command of the framework.

    Then no other command has to be loaded.
    """
    known = (one.name or getattr(one.callback, "__name__", None) for one in commands.registered_commands)
    return bool(words) and words[0] in {*known, *(group.name for group in commands.registered_groups)}


def _left_out_tables() -> bool:
    """Tell whether the command went on without tables whose files are broken."""
    opened = sys.modules.get("lake.project.environment")
    return opened is not None and bool(opened.take_left_out())


_WRONG_ARGUMENTS = (
    *(BadDay, BadName, BadProjectName, BadSetting, FilesThere, FolderInUse, SettingMissing, UnknownFeed, UnknownTable),
    UnknownSink,
)


def _exit_code(error: LakeError) -> int:
    if isinstance(error, _WRONG_ARGUMENTS):
        return WRONG_ARGUMENTS
    if error.retryable:  # also of what the machine lacks only now, as an object store that does not answer
        return TRY_AGAIN
    return NOT_SET_UP if isinstance(error, SetupError) else FAILED


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


@commands.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="A folder that is empty or does not exist yet.")],
    empty: Annotated[bool, typer.Option("--empty", help="Without the sample: no feed, no table.")] = False,
) -> None:
    """Write a project of your own, with a small sample that runs."""
    from lake.commands.projects import new_from_command_line

    new_from_command_line(out, folder, empty=empty)


add = typer.Typer(no_args_is_help=True, help="Write the files of something new, to be filled in.")
commands.add_typer(add, name="add")


@add.command("table")
def add_table(
    layer: Annotated[str, typer.Argument(help="bronze, silver, gold or serving.")],
    name: Annotated[str, typer.Argument(help="Lower case letters, digits and underscores; a plural noun.")],
    reads: Annotated[
        list[str], typer.Option(help="Inputs, as silver.orders,silver.customers; of bronze one feed, as feeds.orders.")
    ],
) -> None:
    """Write the file of a table and its test, to be filled in."""
    from lake.commands.projects import add_table_from_command_line

    inputs = [name.strip() for text in reads for name in text.split(",") if name.strip()]
    add_table_from_command_line(out, layer, name, inputs)


@commands.command()
def setup(
    s3: Annotated[
        bool, typer.Option("--s3", help="Also the jars for tables in S3, which else come when needed.")
    ] = False,
) -> None:
    """Fetch the jars of Spark, and a Java where there is none.

    The jars are verified; an archive of Spark's classes is made for quicker starts.
    """
    from lake.commands.projects import set_up

    if not set_up(["delta", "s3"] if s3 else ["delta"]):
        raise typer.Exit(NOT_SET_UP)


@commands.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine and what has landed, with a remedy for each failure.

    Looks at Python, Java, memory, jars, packages, folders, ports and the lake.
    """
    from lake.commands.doctor import DoctorReport, run_checks
    from lake.commands.json_output import VERSION, print_json
    from lake.commands.lake_doctor import check_lake
    from lake.project.settings import Settings

    checks = run_checks(Settings.from_env()) + check_lake()
    grid = Grid(box=None, show_header=False)
    for check in checks:
        grid.add_row("[green]ok[/]" if check.ok else "[bold red]FAIL[/]", check.name, _escape(check.found))
        if not check.ok:
            grid.add_row("", "", f"[yellow]{_escape(check.remedy)}[/]")
    is_ready = all(check.ok for check in checks)
    if as_json:
        print_json(out, DoctorReport(VERSION, is_ready, checks))
    else:
        out.print(grid)
    if not is_ready:
        raise typer.Exit(NOT_SET_UP)


@commands.command()
def land(
    feed: Annotated[str, typer.Argument(help="The feed that the files are a delivery of.")],
    files: Annotated[list[Path], typer.Argument(help="Files; they are copied.")],
    day: Annotated[str | None, typer.Option(help="The landing day, 2024-01-31; today if none.")] = None,
    hour: Annotated[
        int | None, typer.Option(min=0, max=23, help="The hour, where the feed's files lie by the hour.")
    ] = None,
) -> None:
    """Put files where a feed expects them, each whole.

    The same call again passes over what has landed.
    """
    chosen = parse_option("--day", day, parse_day)

    from lake.commands.landing import land_from_command_line
    from lake.project.environment import open_environment

    land_from_command_line(out, open_environment(), feed, files, chosen, hour)


@commands.command()
def refresh(
    tables: TableNames = None,
    days: DayRange = None,
    changed_code: Annotated[
        bool, typer.Option("--changed-code", help="Compute days again, too, that an older code has computed.")
    ] = False,
    accept_loss: Annotated[
        str | None,
        typer.Option(help="Why rows of these days of a bronze table are gone for good: go on without them."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would run and why; run nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compute tables in batch, recorded in Dagster with their checks.

    With --days: these days of the tables named, after the upstream days that those need, of bronze only what is missing
    or stale. Without: whatever is missing or stale, until nothing is; a second call finds nothing to do. With
    --changed-code also what an older code of the tables computed, or of what they read.

    With --accept-loss nothing is computed: it is written down that what is lost of these days is lost for good.

    All but --plan and --accept-loss needs the extra `dagster`.
    """
    chosen = parse_option("--days", days, Days.parse)
    if chosen is not None and changed_code:
        raise typer.BadParameter("--days computes these days anyway, by whatever code; leave one of the two out")

    prepare_run()
    if plan:
        from lake.commands.planning import plan_from_command_line

        plan_from_command_line(out, tables or [], chosen, changed_code=changed_code, as_json=as_json)
        return

    from lake.commands.refreshing import Ended, accept_loss_from_command_line, refresh_from_command_line

    if accept_loss is not None:
        accept_loss_from_command_line(out, tables or [], chosen, accept_loss)
        return

    codes = {Ended.DONE: 0, Ended.FAILED: FAILED, Ended.TRY_AGAIN: TRY_AGAIN}
    ended = refresh_from_command_line(out, err, tables or [], chosen, changed_code=changed_code, as_json=as_json)
    raise typer.Exit(codes[ended])


@commands.command()
def publish(
    sinks: Annotated[list[str] | None, typer.Argument(help="Sinks by name. All if none.")] = None,
    days: DayRange = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Make the table at the destination anew and load all of it.")
    ] = False,
) -> None:
    """Load sinks with what has changed since they were loaded.

    A second call finds nothing to do.

    With --days: load these days in any case, and no others. Days that are not settled are left to later, unless a sink
    asks for open days too.
    """
    chosen = parse_option("--days", days, Days.parse)
    if chosen is not None and anew:
        raise typer.BadParameter("--anew loads every day; leave one of the two out")

    from lake.commands.publishing import publish_from_command_line
    from lake.project.environment import open_environment

    if not publish_from_command_line(out, err, open_environment(), sinks or [], chosen, anew=anew):
        raise typer.Exit(FAILED)


@commands.command()
def status(
    tables: TableNames = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="List every missing and stale range, with the reason.")
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 1 where anything is wrong, too.")] = False,
    as_json: AsJson = False,
    watch: Annotated[
        float | None, typer.Option(min=0.5, metavar="SECONDS", help="Show it again and again, until Ctrl-C.")
    ] = None,
) -> None:
    """Show what is wrong, then the state of each table.

    Of each the newest day, missing and stale days, rejected rows, freshness and owner.
    """
    prepare_look()
    from lake.commands.status import show_status

    if watch is not None and as_json:
        raise typer.BadParameter("--json prints one object; leave one of the two out", param_hint="--watch")
    health = show_status(out, tables or [], verbose=verbose, as_json=as_json, every=watch)
    if not health.is_readable or (fail and not health.is_healthy):
        raise typer.Exit(FAILED)


@commands.command()
def describe(
    name: Annotated[str, typer.Argument(help="A table, as layer.name, or a feed.")],
    as_json: AsJson = False,
) -> None:
    """Show what a table or feed is: declaration, lineage, columns, days, an example row."""
    prepare_look()
    from lake.commands import describing
    from lake.project.environment import open_environment

    describing.print_description(out, describing.describe(open_environment(), name), as_json=as_json)


@commands.command()
def explain(
    table: Annotated[str, typer.Argument(help="The table, as layer.name.")],
    day: Annotated[str | None, typer.Argument(help="The day, 2024-01-31; none for a table without days.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story of a day of a table, and the next command.

    What it was computed from, when and by which run and code; what became of each row; whether it is stale, and why;
    what would change it.
    """
    chosen = parse_option("DAY", day, parse_day)

    prepare_look()
    from lake.commands.explaining import explain_day, print_explanation
    from lake.commands.json_output import print_json
    from lake.commands.look import Look
    from lake.project.environment import open_environment

    look = Look(open_environment())
    said = explain_day(look, look.environment.table(table), chosen)
    if as_json:
        print_json(out, said)
    else:
        print_explanation(out, said)


@commands.command()
def quarantine(
    table: Annotated[str, typer.Argument(help="The table, as layer.name.")],
    days: DayRange = None,
    limit: Annotated[int, typer.Option(min=0, help="How many rows to print.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the rows of a table that broke its contract.

    First counts by rule, then examples.
    """
    prepare_look()
    from lake.commands.json_output import print_json
    from lake.commands.quarantining import print_quarantine, report_quarantine
    from lake.project.environment import open_environment

    chosen, environment = parse_option("--days", days, Days.parse), open_environment()
    said = report_quarantine(environment, environment.table(table), chosen, limit)
    if as_json:
        print_json(out, said)
    else:
        print_quarantine(out, said, chosen)


@commands.command()
def sql(
    query: Annotated[
        str | None, typer.Argument(help='"select * from gold.daily_sales limit 5"; standard input if none, or -.')
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the query from a file.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for other programs.")] = False,
    as_json: AsJson = False,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the rows to a Parquet file instead of printing them.")
    ] = None,
) -> None:
    """Query the tables with DuckDB. Schemas: bronze, silver, gold, quarantine (silver_departures), lake (ledger).

    One query, which only reads; all columns are shown.
    """
    if csv + as_json + (parquet is not None) > 1:
        raise typer.BadParameter("choose one of --csv, --json and --parquet")
    prepare_look()
    from lake.commands.query import print_query, read_query
    from lake.commands.query_output import show_csv, show_json, show_table, write_parquet
    from lake.project.environment import open_environment

    try:
        text = read_query(query, file)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from None
    show = show_csv(out) if csv else show_json(out) if as_json else show_table(out)
    if not print_query(err, open_environment(), text, show if parquet is None else write_parquet(out, parquet)):
        raise typer.Exit(WRONG_ARGUMENTS)


@commands.command()
def api(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Where to listen; a free port if none.")] = None,
    host: Annotated[str, typer.Option(help="Another address than this machine's own needs LAKEHOUSE_API_TOKENS.")] = (
        "127.0.0.1"
    ),
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many processes answer; one a processor, at most 4, if none.")
    ] = None,
) -> None:
    """Serve the tables to programs over HTTP, read only.

    By day and key, as JSON or Arrow. Ctrl-C ends it.
    """
    from lake.commands.read_api import serve_api
    from lake.project.settings import Settings

    serve_api(out, Settings.from_env(), host, port, workers)


@commands.command()
def dashboard(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Where to listen; a free port if none.")] = None,
) -> None:
    """Show the lake in a browser on 127.0.0.1.

    Operation, data quality, tables, and the project's own pages.
    """
    from lake.commands.dashboard import serve_dashboard
    from lake.project.settings import Settings

    raise typer.Exit(serve_dashboard(out, Settings.from_env(), port))


@commands.command()
def export(
    duckdb: Annotated[Path, typer.Option("--duckdb", metavar="FILE", help="The DuckDB file to write.")],
    tables: TableNames = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the rows, so that the file needs no other.")] = False,
) -> None:
    """Write tables into a DuckDB file that BI tools open, as views or copies.

    Both show what the tables hold now, until the next export; docs/read-the-tables.md says what each gives up.
    """
    from lake.commands.exporting import export_duckdb
    from lake.project.environment import open_environment

    export_duckdb(out, open_environment(), tables or [], duckdb, copies=copy)


@commands.command()
def maintain() -> None:
    """Join small files, and remove files and commits that no reader needs.

    Safe beside streams and refreshes. Versions can be read back for 30 days, those of tables that stream for 2 days,
    and whatever a stream has not read yet is kept. The schedule `maintain` in the UI does the same every night, once it
    is switched on.
    """
    from lake.commands.maintaining import maintain_from_command_line
    from lake.project.environment import open_environment

    maintain_from_command_line(out, open_environment())


@commands.command()
def docs(
    to: Annotated[Path, typer.Option(help="The file to write.")] = Path("docs/tables.md"),
    odcs: Annotated[
        Path | None, typer.Option(help="Write each table's contract into this folder instead, by the standard ODCS.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the catalog of tables, with lineage and columns, as Markdown.

    With --json print the data dictionary instead: the same facts of tables and feeds, for other programs.
    """
    if as_json and odcs is not None:
        raise typer.BadParameter("--json prints one object; leave one of the two out", param_hint="--odcs")
    prepare_look()
    from lake.project.environment import open_environment

    environment = open_environment()
    tables = environment.tables.values()
    if as_json:
        from lake.commands.dictionary import dictionary_of
        from lake.commands.json_output import print_json

        print_json(out, dictionary_of(environment))
        return
    if odcs is None:
        from lake.commands.catalog import render_catalog

        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(render_catalog(tables))
        out.print(f"wrote {to}")
        return
    from lake.commands.odcs import strangers, write_contracts

    written = write_contracts(odcs, tables)
    out.print(f"wrote {len(written)} contracts to {odcs}")
    for path in strangers(odcs, written):
        out.print(f"no table has {path.name} any more: remove it")


@commands.command()
def follow(
    tables: TableNames = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Read what there is, then exit.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Hand all days back to batch; no stream may run.")] = False,
    reopen: Annotated[
        str | None, typer.Option(help="Open the days from this one on again, then exit; no stream may run.")
    ] = None,
    new_generation: Annotated[
        list[str] | None, typer.Option(help="A table whose open days begin anew, for a damaged checkpoint.")
    ] = None,
    accept_loss: Annotated[
        list[str] | None, typer.Option(help="A bronze table that lost messages for good: go on without them.")
    ] = None,
    pass_over: Annotated[
        list[str] | None,
        typer.Option(help="A message that Spark refuses to read, TOPIC:PARTITION:OFFSET: go on behind it."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="At the first start: the first landing day to follow, not the first that landed.")
    ] = None,
    feed: Annotated[str | None, typer.Option(help="Read topics from files or kafka; LAKEHOUSE_FEED if none.")] = None,
) -> None:
    """Run tables as streams, from the same declarations as batch.

    SIGTERM or Ctrl-C ends after the micro-batch.
    """
    first, opened = parse_option("--since", since, parse_day), parse_option("--reopen", reopen, parse_day)

    from lake.commands.following import (
        follow_from_command_line,
        release_from_command_line,
        reopen_from_command_line,
    )

    if release:
        release_from_command_line(out)
    elif opened is not None:
        reopen_from_command_line(out, opened)
    else:
        is_whole = follow_from_command_line(
            out,
            tables or [],
            new_generation or [],
            accept_loss or [],
            first,
            until_idle=until_idle,
            feed=feed,
            passing=pass_over or [],
        )
        if until_idle and not is_whole:
            raise typer.Exit(FAILED)


kafka = typer.Typer(no_args_is_help=True, help="A real Kafka of one node on 127.0.0.1, kept under LAKEHOUSE_HOME.")
commands.add_typer(kafka, name="kafka")


@kafka.command("up")
def kafka_up() -> None:
    """Start the broker, unless it runs, and print its address."""
    from lake.commands.brokers import local_broker

    out.print(local_broker().up().address)


@kafka.command("down")
def kafka_down() -> None:
    """Stop the broker and keep its messages."""
    from lake.commands.brokers import local_broker

    out.print("stopped" if local_broker().down() else "it was not running")


@kafka.command("status")
def kafka_status() -> None:
    """Print the broker's address, or exit with 1 where it does not run."""
    from lake.commands.brokers import local_broker

    running = local_broker().status()
    out.print("not running: lakehouse kafka up" if running is None else f"{running.address} (pid {running.pid})")
    if running is None:
        raise typer.Exit(FAILED)


@commands.command()
def up(
    port: Annotated[
        int | None, typer.Option(help="Port of the web UI on 127.0.0.1; 3000 or the next free one.")
    ] = None,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Run the local Kafka too; with --streams, topics are read from it.")
    ] = False,
    streams: Annotated[
        bool, typer.Option("--streams", help="Run every table that can be followed as a stream, too.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(help="When streams start for the first time: the first landing day to follow.")
    ] = None,
    auto: Annotated[
        bool | None,
        typer.Option(
            "--auto/--no-auto",
            help="Run daily, reconcile and maintain by themselves, from now on.",
            show_default=False,
        ),
    ] = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="A process and a JVM for each run, instead of one that stays: less memory.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all that Dagster says.")] = False,
) -> None:
    """Start the Dagster UI and its daemon on 127.0.0.1.

    On request Kafka and the streams run, too. One view shows what goes wrong, and the streams' log. Ctrl-C or SIGTERM
    stops all in order: the streams after their running micro-batch, the UI with its daemon, then Kafka if it was
    started here. It needs the extra `dagster`.

    Streams that end by themselves are started again, five times with growing pauses. The end of the UI or of Kafka ends
    everything, with exit code 1.
    """
    first = parse_option("--since", since, parse_day)
    if first and not streams:
        raise typer.BadParameter("it is for streams: add --streams", param_hint="--since")

    from lake.commands.up import serve
    from lake.project.settings import Settings

    settings = Settings.from_env()
    code = serve(out, settings, port, kafka=kafka, streams=streams, since=first, auto=auto, cold=cold, verbose=verbose)
    sys.exit(code)


if __name__ == "__main__":
    main()
