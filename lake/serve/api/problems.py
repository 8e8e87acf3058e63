"""Say what is wrong with a request, as RFC 9457 has it: `application/problem+json`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from lake.errors import LakeError

__all__ = ["PROBLEM_JSON", "Problem", "ProblemError", "answer_with_problems", "documented"]

PROBLEM_JSON = "application/problem+json"
_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """A reason why a request is wrong or cannot be answered."""

    title: str = Field(description="the status in words")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what is wrong, and what to do instead")


class ProblemError(Exception):
    """End a request with a problem.

    Attributes:
        status: the HTTP status.
        detail: what is wrong, and what to do instead.
        headers: to be sent beside it.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe in OpenAPI the problems that a request may end with."""
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def answer_with_problems(app: FastAPI) -> None:
    """Let every error of an app become a problem.

    What an error says of files and folders goes to the log only.
    """

    @app.exception_handler(ProblemError)
    async def _on_problem(_: Request, error: ProblemError) -> JSONResponse:
        return _answer(error.status, error.detail, error.headers)

    @app.exception_handler(HTTPException)
    async def _on_http(_: Request, error: HTTPException) -> JSONResponse:
        return _answer(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def _on_wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()]
        return _answer(422, "; ".join(wrong))

    @app.exception_handler(LakeError)
    async def _on_lake(_: Request, error: LakeError) -> JSONResponse:
        _log.error("%s", error)
        return _answer(503, "the table cannot be read now; the log of the API says why")


def _answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(problem.model_dump(), status, dict(headers or {}), media_type=PROBLEM_JSON)
