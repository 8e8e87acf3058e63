"""Make the read API of a lake: one path for each table.

A path is described by the table's contract. Nothing is ever written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Query, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, create_model

from lake.declare.days import ALL_DAYS, Day, Days
from lake.declare.table import Table
from lake.serve.api.answers import ARROW, JSON, MediaType, accepted, arrow_bytes, etag_of, is_known, json_bytes
from lake.serve.api.columns import DAY, FLAG, VERSION, exposed, parameter_columns, parameter_type, row_model
from lake.serve.api.guard import guard
from lake.serve.api.kept import Answer, KeptAnswers
from lake.serve.api.page import BOOKMARK, Ask, Bookmark, Reader
from lake.serve.api.problems import Problem, ProblemError, answer_with_problems, documented
from lake.serve.api.settled import Settled
from lake.serve.api.snapshot import Snapshot, Snapshots
from lake.write.store import DeltaStore

__all__ = ["Limits", "build_app"]

_OF_ROWS = ("first_day", "last_day", "open", "version", "limit", "after")
"""Parameters of all tables. A key column that is called like one of them gets an underscore behind its name."""
_FAILURES = (401, 403, 404, 406, 410, 422, 501, 503)


@dataclass(frozen=True)
class Limits:
    """Bound what one request may cost.

    Attributes:
        rows: of a page.
        seconds: that DuckDB may take for it.
        kept_bytes: of answers that a process keeps, to send them again.
    """

    rows: int = 10_000
    seconds: float = 10.0
    kept_bytes: int = 128 * 2**20


class TableInfo(BaseModel):
    """The facts about one table."""

    name: str = Field(description="layer.name")
    description: str = Field(description="what a row is")
    href: str = Field(description="path of its rows")
    key: list[str] = Field(description="columns that are unique")
    day: str | None = Field(description="column of its day; null where it has no days")
    owner: str = Field(description="who answers for it")
    version: int | None = Field(description="newest version; null where it was never written")
    settled_through: date | None = Field(description="newest settled day that holds rows")
    newest_day: date | None = Field(description="newest day that holds rows, open ones too")


class TableList(BaseModel):
    """The tables of a lake."""

    tables: list[TableInfo] = Field(description="upstream first")


def build_app(
    tables: Iterable[Table],
    store: DeltaStore,
    limits: Limits = Limits(),  # a `Limits` is frozen
    tokens: Sequence[str] = (),
    hosts: Sequence[str] = (),
) -> FastAPI:
    """Make the API of some tables.

    Args:
        tables: which, upstream first.
        store: where they are.
        limits: of each request.
        tokens: one of which has to be sent; none: nobody is asked for one.
        hosts: names beside those of this machine under which it may be addressed.
    """
    # Its pages of documentation would load scripts from elsewhere.
    app = FastAPI(title="Lakehouse", version=_version(), openapi_url=None, dependencies=[Depends(guard(tokens, hosts))])
    answer_with_problems(app)
    known = list(tables)
    reader, kept = Reader(limits.seconds, threads=1), KeptAnswers(limits.kept_bytes)
    lake = _Lake(store, limits, Snapshots(store), Settled(store), reader, kept)
    for table in known:
        _add_rows(app, lake, table)

    @app.get("/tables", summary="List the tables", response_model=TableList, responses=documented(401, 403, 503))
    def list_tables() -> JSONResponse:
        found = TableList(tables=[lake.info(table) for table in known])
        return JSONResponse(found.model_dump(mode="json"))

    @app.get("/openapi.json", include_in_schema=False)
    async def describe() -> JSONResponse:
        return JSONResponse(app.openapi())

    app.openapi = lambda: _described(app, secured=bool(tokens))  # type: ignore[method-assign]  # as its manual says
    return app


def _version() -> str:
    try:
        return version("lakehouse")
    except PackageNotFoundError:
        return "0"


def _described(app: FastAPI, *, secured: bool) -> dict[str, Any]:
    if app.openapi_schema is None:
        about = "Tables of the lake by day and key. Read only."
        schema = get_openapi(title=app.title, version=app.version, description=about, routes=app.routes)
        schemas = schema["components"]["schemas"]
        schemas["Problem"] = Problem.model_json_schema()
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        if secured:
            schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
        app.openapi_schema = schema
    return app.openapi_schema


@dataclass(frozen=True)
class _Lake:
    """The parts of a lake that all paths read."""

    store: DeltaStore
    limits: Limits
    snapshots: Snapshots
    settled: Settled
    reader: Reader
    kept: KeptAnswers

    def info(self, table: Table) -> TableInfo:
        """Say what there is of a table."""
        settled = self.settled.days(table)
        held: Collection[Day] = ()
        newest = None
        if self.store.table_log(table).version() is not None:
            snapshot = self.snapshots.at(table)
            held, newest = snapshot.files.keys(), snapshot.version
        return TableInfo(
            name=table.full_name,
            description=table.description.partition("\n")[0],
            href=_path(table),
            key=list(table.key),
            day=table.day,
            owner=table.owner,
            version=newest,
            settled_through=max((day for day in held if day and day in settled), default=None),
            newest_day=max((day for day in held if day), default=None),
        )

    def choose(self, table: Table, at: int | None, *, with_open: bool) -> tuple[Snapshot, Collection[Day]]:
        """Choose the version of a table, and its days that may be shown."""
        settled = self.settled.days(table)  # before the version, so that a day is no earlier than it says
        snapshot = self.snapshots.at(table, at)
        if with_open:
            return snapshot, snapshot.files.keys()
        if at is not None and at != self.snapshots.at(table).version:
            settled = self.settled.days_at(table, at, snapshot.files.keys())
        return snapshot, settled


def _path(table: Table) -> str:
    return f"/tables/{table.layer}/{table.name}"


def _query_model(table: Table, limits: Limits) -> type[BaseModel]:
    """Make the model of a table's parameters.

    They are those of all tables, and its own key columns.
    """
    fields: dict[str, Any] = {}
    if table.day is not None:
        said = f"only rows whose {table.day} is not"
        fields["first_day"] = (DAY | None, Field(None, description=f"{said} before this day"))
        fields["last_day"] = (DAY | None, Field(None, description=f"{said} after this day"))
    fields["open"] = (FLAG, Field(False, description="show days too that are not settled: they are early"))
    fields["version"] = (VERSION | None, Field(None, description="as of this version of the table; the newest if none"))
    fields["limit"] = (
        Annotated[int, Field(ge=1, le=limits.rows)],
        Field(min(1000, limits.rows), description="how many rows at most"),
    )
    fields["after"] = (
        str | None,
        Field(None, description="`next` of the page before", max_length=4096, pattern=BOOKMARK),
    )
    for number, column in enumerate(parameter_columns(table)):
        alias = _parameter(column.name)
        kind = parameter_type(column.dtype) | None
        fields[f"key_{number}"] = (kind, Field(None, alias=alias, description=column.description))
    return create_model(f"ParametersOf{row_model(table).__name__}", __config__=ConfigDict(extra="forbid"), **fields)


def _parameter(column: str) -> str:
    return f"{column}_" if column in _OF_ROWS else column


def _add_rows(app: FastAPI, lake: _Lake, table: Table) -> None:
    """Add the path of a table's rows."""
    row, parameters = row_model(table), _query_model(table, lake.limits)
    page = create_model(
        f"PageOf{row.__name__}",
        table=(str, Field(description="layer.name")),
        version=(int, Field(description="version of the table that was read")),
        next=(str | None, Field(description="pass it as `after` for the next page; null where this is the last")),
        rows=(list[row], Field(description="in the order of day and key")),  # type: ignore[valid-type]  # made above
    )

    def read(request: Request, asked: Any) -> Response:
        return _answer(lake, table, request, asked)

    read.__annotations__["asked"] = Annotated[parameters, Query()]
    read.__annotations__["request"] = Request
    binary = {"description": "a page of rows", "content": {ARROW: {"schema": {"type": "string", "format": "binary"}}}}
    known = {"description": "Not Modified: what If-None-Match names is still so"}
    app.get(
        _path(table),
        name=table.full_name,
        tags=[table.layer],
        summary=table.description.partition("\n")[0],
        description=table.description,
        response_model=page,
        responses={200: binary, 304: known, **documented(*_FAILURES)},
    )(read)


def _answer(lake: _Lake, table: Table, request: Request, asked: BaseModel) -> Response:
    kind = accepted(request.headers.get("accept"))
    ask, at, with_open = _ask(table, asked)
    snapshot, allowed = lake.choose(table, at, with_open=with_open)
    days = [day for day in snapshot.files if day in allowed and (day is None or day in ask.days)]
    etag = etag_of(snapshot.table_id, snapshot.version, kind, [c.name for c in exposed(table)], days)
    headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "no-cache", "Lakehouse-Version": str(snapshot.version)}
    if is_known(etag, request.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers)
    address = f"{request.url.path}?{request.url.query}"
    answer = lake.kept.find(address, etag)
    if answer is None:
        answer = _page(lake.reader, snapshot, days, ask, kind)
        lake.kept.keep(address, etag, answer)
    if answer.following is not None:
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
        headers["Link"] = f'<{request.url.path}?{urlencode([*query, ("after", answer.following)])}>; rel="next"'
    return Response(answer.content, headers=headers, media_type=kind)


def _ask(table: Table, asked: BaseModel) -> tuple[Ask, int | None, bool]:
    """Read the parameters of a request.

    They say which rows, as of which version, and whether open days are wanted too.
    """
    said = dict(asked)
    columns = {f"key_{number}": column.name for number, column in enumerate(parameter_columns(table))}
    equal = {name: said[field] for field, name in columns.items() if said[field] is not None}
    asked_day = equal.get(table.day) if table.day else None
    first = max(filter(None, (ALL_DAYS.start, said.get("first_day"), asked_day)))
    last = min(filter(None, (ALL_DAYS.last, said.get("last_day"), asked_day)))
    days = Days.between(first, last) if first <= last else Days(first, first)
    after = None if said["after"] is None else Bookmark.from_text(said["after"], table)
    at = said["version"]
    if after is not None and at not in (None, after.version):
        raise ProblemError(422, f"version: the page before was of version {after.version}")
    return Ask(days, equal, said["limit"], after), after.version if after else at, said["open"]


def _page(reader: Reader, snapshot: Snapshot, days: Collection[Day], ask: Ask, kind: MediaType) -> Answer:
    """Read a page and write it as the caller accepts it."""
    page = (reader.json if kind == JSON else reader.arrow)(snapshot, days, ask)
    following = None if page.following is None else Bookmark(snapshot.version, page.following).to_text()
    if kind == ARROW:
        return Answer(arrow_bytes(page.rows), following)
    about = {"table": snapshot.table.full_name, "version": snapshot.version, "next": following}
    return Answer(json_bytes(page.rows.column(0).to_pylist(), about), following)
