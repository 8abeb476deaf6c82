"""Problem details for HTTP APIs (RFC 9457): the one shape in which an error leaves a process over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.status_codes import HTTP_500_INTERNAL_SERVER_ERROR
from structlog import get_logger

PROBLEM_JSON = "application/problem+json"
_TITLES = {400: "Bad request", 401: "Not authenticated", 403: "Not allowed", 404: "Not found", 405: "Wrong method",
           413: "Too large", 415: "Unsupported media type", 429: "Too many requests", 503: "Unavailable"}  # fmt: skip

log = get_logger(__name__)


class Problem(Exception):  # noqa: N818 - the term of RFC 9457
    """An error with a stable `code` that a program can act on and a `detail` that a person can read."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """`errors` name each field that was refused and say why: `{"field": …, "message": …}`."""
        super().__init__(f"{code}: {detail or title}")
        self.errors = [dict(error) for error in errors]
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})


def problem_response(problem: Problem) -> Response[dict[str, Any]]:
    """The HTTP response for a problem."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
    }
    if problem.detail:
        body["detail"] = problem.detail
    if problem.errors:
        body["errors"] = problem.errors
    return Response(body, status_code=problem.status, headers=problem.headers, media_type=PROBLEM_JSON)


def handle_problem(_request: Request[Any, Any, Any], problem: Problem) -> Response[dict[str, Any]]:
    """Litestar exception handler for `Problem`."""
    return problem_response(problem)


def handle_http_exception(_request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """Litestar exception handler for the framework's own errors: no route, wrong method, body that does not fit."""
    status = error.status_code
    code = {400: "malformed", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "media_type"}.get(
        status, "refused"
    )
    detail = error.detail
    errors: list[dict[str, str]] = []
    if isinstance(error.extra, list):
        # Validation errors: which field, and what was wrong with it.
        errors = [{"field": str(item.get("key", "")), "message": str(item.get("message", ""))} for item in error.extra]
        detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
    headers = {k: v for k, v in (error.headers or {}).items() if k.lower() in {"allow", "retry-after"}}
    return problem_response(Problem(status, code, _TITLES.get(status, "Refused"), detail, headers, errors))


def handle_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """Litestar exception handler for what nobody foresaw: logged whole, told to the client without detail."""
    # The template: what somebody typed into an address is in no log.
    log.error("unexpected_error", route=request.scope.get("path_template", "unmatched"), exc_info=error)
    return problem_response(Problem(HTTP_500_INTERNAL_SERVER_ERROR, "internal", "Internal error"))


EXCEPTION_HANDLERS: dict[Any, Any] = {
    Problem: handle_problem,
    HTTPException: handle_http_exception,
    Exception: handle_unexpected,
}

__all__ = ["EXCEPTION_HANDLERS", "PROBLEM_JSON", "Problem", "problem_response"]
