"""The OpenAPI document: its examples fit, and the API does what it says, whatever is sent (schemathesis)."""

from typing import Any

import httpx
import msgspec
import pytest

from functions.api import fleet, history, identity_schemas, media, schemas
from functions.api.examples import EXAMPLES
from shared.stack.stack import LocalStack
from shared.state import gifts
from tests.support.schema_run import Scene, run

_TYPES: dict[str, Any] = {
    name: kind
    for module in (schemas, identity_schemas, fleet, history, media, gifts)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
}


# Their answers are shown once, and so not kept to be given again.
WITH_SECRETS = {"/v1/guests", "/v1/keys", "/v1/sessions", "/v1/sessions/refresh", "/v1/users"}


@pytest.mark.parametrize("name", [name for name in EXAMPLES if "/" not in name])
def test_an_example_is_what_its_schema_says(name: str) -> None:
    read = msgspec.convert(EXAMPLES[name], _TYPES[name], strict=True)
    # Nothing in it is unknown or left out.
    assert set(EXAMPLES[name]) <= set(msgspec.structs.asdict(read))


async def test_every_operation_says_what_it_is_what_it_answers_and_shows_it(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["tags"], where
            responses = operation["responses"]
            assert any(status.startswith("2") for status in responses), where
            if "operations" in operation["tags"]:
                continue
            assert {"400", "429", "503"} <= set(responses), where
            assert not operation.get("security") or {"401", "403"} <= set(responses), where
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                assert "example" in content, f"{where}: {media_type}"
            if method == "post" and path not in WITH_SECRETS:
                assert "Idempotency-Key" in {parameter["name"] for parameter in operation["parameters"]}, where


# Some 1,700 cases, however long a busy machine takes for them.
@pytest.mark.timeout(300)
async def test_the_api_keeps_its_contract_whatever_is_sent(stack: LocalStack) -> None:
    async with Scene(stack) as scene:
        outcome = await run(scene, max_examples=2, max_time_s=45, seed=1)
    assert outcome.server_errors == 0, outcome.text
    assert outcome.failures == 0, outcome.text
    # How many come within the time depends on the machine.
    assert outcome.cases > 200, outcome.text
    # They meet with what is there, not only with refusals.
    assert outcome.statuses["200"] + outcome.statuses["201"] > 20, outcome.statuses
