"""The cookie that keeps a browser's refresh token out of reach of the page's scripts, and proof that it is our page.

It is HttpOnly, SameSite=Strict, sent below /v1/sessions only, and but for development Secure (RFC 6265bis). A request
that relies on it must come from a page of ours: browsers say so in Sec-Fetch-Site, older ones in Origin. What says
neither is refused, so no page elsewhere can make a browser use it.
"""

from typing import Any
from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import Cookie

from functions.context import Context
from shared.telemetry.problems import Problem

PATH = "/v1/sessions"


def _name(context: Context) -> str:
    # Browsers take a cookie of this prefix only if it is Secure and came over HTTPS.
    return "headrace_session" if context.settings.insecure_cookies else "__Secure-headrace_session"


def kept(context: Context, refresh_token: str) -> Cookie:
    """The cookie that has a refresh token, for as long as its session lasts unused."""
    return _cookie(context, refresh_token, context.settings.session_lifetime_s)


def cleared(context: Context) -> Cookie:
    """The cookie that takes its place at a sign-out."""
    return _cookie(context, "", 0)


def _cookie(context: Context, value: str, max_age: int) -> Cookie:
    return Cookie(
        key=_name(context),
        value=value,
        max_age=max_age,
        path=PATH,
        secure=not context.settings.insecure_cookies,
        httponly=True,
        samesite="strict",
    )


def refresh_token_of(request: Request[Any, Any, Any], context: Context) -> str:
    """The refresh token in the request's cookie, '' where it has none.

    Raises:
        Problem: 403 where it has one and does not come from our page.
    """
    token = request.cookies.get(_name(context), "")
    if token and not _from_our_page(request):
        detail = "a request with the session's cookie must come from a page of this origin"
        raise Problem(403, "foreign_page", "Not allowed", detail)
    return token


def _from_our_page(request: Request[Any, Any, Any]) -> bool:
    site = request.headers.get("sec-fetch-site", "")
    if site:
        return site == "same-origin"
    origin = urlsplit(request.headers.get("origin", ""))
    return origin.scheme in {"http", "https"} and origin.netloc == request.headers.get("host", "")
