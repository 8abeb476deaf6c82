import pytest

from functions.app import build_app
from functions.context import build_context
from functions.settings import Settings
from shared.security.keys import generate_jwks
from shared.settings import SettingsError


def _settings(**changes: object) -> Settings:
    # Nothing listens there: a process must come up without its dependencies.
    given: dict[str, object] = {
        "redis_url": "redis://127.0.0.1:1/0",
        "mongodb_uri": "mongodb://127.0.0.1:1/?replicaSet=none",
        "jwt_keys": generate_jwks(),
    }
    return Settings(**given | changes)  # type: ignore[arg-type]


async def test_a_process_serves_the_functions_it_is_told_to_and_no_others() -> None:
    for names, path, absent in (
        (("api",), "/v1/guests", "/v1/rooms/{room_id:str}/socket"),
        (("signaling",), "/v1/rooms/{room_id:str}/socket", "/v1/guests"),
        (("web",), "/r/{room_id:str}", "/v1/guests"),
    ):
        context = build_context(_settings(functions=names))
        paths = {route.path for route in build_app(context).routes}
        assert path in paths
        assert absent not in paths
        assert "/health/ready" in paths
        await context.close()


async def test_an_unusable_key_set_names_its_variable() -> None:
    with pytest.raises(SettingsError, match="HEADRACE_JWT_KEYS"):
        build_context(_settings(jwt_keys="{}"))
