from typing import Annotated

import msgspec
import pytest

from functions.settings import Settings as FunctionSettings
from sfu_fleet.host.settings import Settings as HostSettings
from sfu_fleet.settings import Settings as WorkerSettings
from shared.settings import EnvironmentSetting, SettingsError, load, setting, variables


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    url: Annotated[str, setting("SAMPLE_URL", "where it is")]
    port: Annotated[int, setting("SAMPLE_PORT", "listen port", ge=1, le=65535)] = 8000
    names: Annotated[tuple[str, ...], setting("SAMPLE_NAMES", "comma list")] = ()
    verbose: Annotated[bool, setting("SAMPLE_VERBOSE", "say more")] = False


def test_values_are_read_in_their_type() -> None:
    environ = {"SAMPLE_URL": "u", "SAMPLE_PORT": "9", "SAMPLE_NAMES": "a, b,,c", "SAMPLE_VERBOSE": "true"}
    assert load(Sample, environ) == Sample(url="u", port=9, names=("a", "b", "c"), verbose=True)


def test_an_empty_variable_counts_as_absent() -> None:
    assert load(Sample, {"SAMPLE_URL": "u", "SAMPLE_PORT": ""}).port == 8000


@pytest.mark.parametrize(
    ("environ", "variable", "expected"),
    [
        ({}, "SAMPLE_URL", "where it is"),
        ({"SAMPLE_URL": "u", "SAMPLE_PORT": "http"}, "SAMPLE_PORT", "int"),
        ({"SAMPLE_URL": "u", "SAMPLE_PORT": "70000"}, "SAMPLE_PORT", "65535"),
    ],
)
def test_an_error_names_the_variable_and_what_was_expected(
    environ: dict[str, str], variable: str, expected: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Sample, environ)
    assert caught.value.variable == variable
    assert str(caught.value).startswith(f"{variable}: ")
    assert expected in str(caught.value)


class Guarded(msgspec.Struct, frozen=True, kw_only=True):
    environment: EnvironmentSetting = "production"
    insecure_shortcut: Annotated[bool, setting("SAMPLE_INSECURE_SHORTCUT", "a shortcut")] = False


def test_an_insecure_setting_refuses_to_start_in_production() -> None:
    given = {"SAMPLE_INSECURE_SHORTCUT": "true"}
    for environ in (given, given | {"HEADRACE_ENVIRONMENT": "production"}):
        with pytest.raises(SettingsError, match="HEADRACE_ENVIRONMENT=development") as caught:
            load(Guarded, environ)
        assert caught.value.variable == "SAMPLE_INSECURE_SHORTCUT"
    assert load(Guarded, given | {"HEADRACE_ENVIRONMENT": "development"}).insecure_shortcut
    assert not load(Guarded, {"SAMPLE_INSECURE_SHORTCUT": "false"}).insecure_shortcut


@pytest.mark.parametrize("cls", [FunctionSettings, WorkerSettings, HostSettings])
def test_a_setting_that_gives_up_a_protection_says_so_in_its_name(cls: type[msgspec.Struct]) -> None:
    fields = {field.name for field in msgspec.structs.fields(cls)}
    insecure = {name for name in fields if name.startswith("insecure_")}
    assert {f"HEADRACE_{name.upper()}" for name in insecure} == {name for name in variables(cls) if "INSECURE" in name}
    assert not insecure or "environment" in fields
