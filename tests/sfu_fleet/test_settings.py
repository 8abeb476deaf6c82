"""Settings: defaults that follow from each other."""

import pytest

from sfu_fleet.settings import Settings
from shared.settings import SettingsError, load

REQUIRED = {"REDIS_URL": "redis://127.0.0.1/0", "HEADRACE_JWT_KEYS": "{}", "HEADRACE_INSTANCE": "w1"}


def test_the_control_url_follows_from_host_and_port() -> None:
    settings = load(Settings, REQUIRED | {"HEADRACE_SFU_CONTROL_PORT": "8123"})
    assert settings.url == "http://127.0.0.1:8123"
    assert load(Settings, REQUIRED | {"HEADRACE_SFU_CONTROL_URL": "http://sfu:1"}).url == "http://sfu:1"
    assert load(Settings, REQUIRED | {"HEADRACE_SFU_CONTROL_HOST": "::1"}).url == "http://[::1]:7900"


def test_the_media_host_is_announced_unless_it_is_a_wildcard() -> None:
    assert load(Settings, REQUIRED | {"HEADRACE_SFU_MEDIA_HOST": "127.0.0.1"}).announced() == ("127.0.0.1",)
    several = load(Settings, REQUIRED | {"HEADRACE_SFU_ANNOUNCED_ADDRESSES": "192.0.2.1, 2001:db8::1"})
    assert several.announced() == ("192.0.2.1", "2001:db8::1")
    assert not {"0.0.0.0", "::", ""} & set(load(Settings, REQUIRED).announced())
    assert load(Settings, REQUIRED | {"HEADRACE_SFU_MEDIA_IPV6_HOST": "::1"}).announced()[-1] == "::1"
    assert len(load(Settings, REQUIRED | {"HEADRACE_SFU_MEDIA_IPV6_HOST": "none"}).announced()) == 1


def test_a_second_socket_for_ipv6_belongs_to_the_wildcard_alone() -> None:
    assert load(Settings, REQUIRED | {"HEADRACE_SFU_MEDIA_HOST": "127.0.0.1"}).second_host() == ""
    assert load(Settings, REQUIRED | {"HEADRACE_SFU_MEDIA_IPV6_HOST": "none"}).second_host() == ""
    assert load(Settings, REQUIRED | {"HEADRACE_SFU_MEDIA_IPV6_HOST": "::1"}).second_host() == "::1"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HEADRACE_SFU_ANNOUNCED_ADDRESSES", "sfu.example.org"),
        ("HEADRACE_SFU_ANNOUNCED_ADDRESSES", "192.0.2.1 192.0.2.2"),
        ("HEADRACE_INSTANCE", "UPPER"),
        ("HEADRACE_SFU_MEDIA_PORT", "70000"),
        ("HEADRACE_SFU_CAPACITY_PPS", "none"),
    ],
)
def test_a_wrong_value_names_its_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        load(Settings, REQUIRED | {variable: value})
