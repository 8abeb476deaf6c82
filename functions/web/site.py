"""Serves the built client: hashed assets for ever, the page itself never from a cache."""

from pathlib import Path

from litestar import MediaType, Response, get
from litestar.datastructures import CacheControlHeader
from litestar.params import FromPath
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler

from shared.telemetry.problems import Problem

# 'unsafe-inline' for styles only: React sets style attributes.
_POLICY = {
    "default-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' blob: mediastream:",
    "connect-src": "'self' ws: wss:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(self), fullscreen=(self)",
    "cross-origin-opener-policy": "same-origin",
}


_CHECKOUT = Path(__file__).parent / "client" / "dist"


def security_headers(media_origin: str) -> dict[str, str]:
    """What the page may load: nothing from elsewhere, but recordings from an object store, if there is one."""
    media = f"{_POLICY['media-src']} {media_origin}".rstrip()
    policy = _POLICY | {"media-src": media}
    directives = "; ".join(f"{name} {value}" for name, value in policy.items())
    return {"content-security-policy": directives, **_SECURITY_HEADERS}


def build_routes(web_root: str, *, media_origin: str) -> list[ControllerRouterHandler]:
    """The routes that serve the client built into `web_root`, or into the checkout when that is empty."""
    headers = {**security_headers(media_origin), "cache-control": "no-cache"}
    root = Path(web_root) if web_root else _CHECKOUT

    def page(name: str) -> Response[bytes]:
        try:
            content = (root / name).read_bytes()
        except FileNotFoundError:
            detail = "the web client has not been built on this host"
            raise Problem(503, "client_missing", "Unavailable", detail) from None
        return Response(content, media_type=MediaType.HTML, headers=headers)

    # `/r/{code}` is the client's own route: the same page, which reads the address.
    @get(["/", "/r/{room_id:str}"], include_in_schema=False, sync_to_thread=False)
    def application(room_id: FromPath[str | None] = None) -> Response[bytes]:  # noqa: ARG001 - the client reads it
        return page("index.html")

    @get("/docs", include_in_schema=False, sync_to_thread=False)
    def documentation() -> Response[bytes]:
        return page("docs/index.html")

    routes: list[ControllerRouterHandler] = [application, documentation]
    if (root / "assets").is_dir():
        forever = CacheControlHeader(max_age=31_536_000, immutable=True, public=True)
        routes.append(
            create_static_files_router(
                path="/assets", directories=[root / "assets"], cache_control=forever, include_in_schema=False
            )
        )
    return routes
