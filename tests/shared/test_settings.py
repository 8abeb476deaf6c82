from typing import Annotated

import msgspec
import pytest

from shared.settings import SettingsError, load, setting


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
