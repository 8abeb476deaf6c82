import ipaddress
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.async_api import Page, async_playwright

from shared.protocol import candidates, vectors
from shared.protocol.errors import ErrorCode, ProtocolError
from tests.support.chromium import ARGUMENTS, chromium_path

CAPTURED = json.loads(Path(__file__).with_name("corpus").joinpath("candidates.json").read_text(encoding="utf-8"))
VECTORS = json.loads(vectors.PATH.read_text(encoding="utf-8"))["candidates"]
# What a peer needs of a candidate, as a browser reads it.
_FIELDS = """(candidates) => candidates.map((candidate) => {
  const read = new RTCIceCandidate({candidate, sdpMLineIndex: 0});
  const {foundation, component, protocol, priority, address, port, type, tcpType} = read;
  const {relatedAddress, relatedPort, usernameFragment} = read;
  return {foundation, component, protocol, priority, address, port, type, tcpType, relatedAddress, relatedPort,
    usernameFragment};
})"""


def _name(row: dict[str, str]) -> str:
    return row["name"] if "name" in row else row["candidate"].split(" ")[4]


@pytest.mark.parametrize("row", VECTORS["accepted"], ids=_name)
def test_a_candidate_has_its_bytes_and_its_attribute(row: dict[str, Any]) -> None:
    candidate = candidates.parse(row["attribute"], line=row["line"])
    packed = bytes.fromhex(row["hex"])
    assert candidates.pack(candidate) == packed
    assert candidates.unpack(packed) == candidate
    assert candidates.attribute(candidate) == row["rebuilt"]
    assert candidates.parse(candidates.attribute(candidate, with_line=True)) == candidate


@pytest.mark.parametrize("row", VECTORS["refused"], ids=_name)
def test_bad_bytes_are_no_candidate(row: dict[str, str]) -> None:
    with pytest.raises(ProtocolError) as caught:
        candidates.unpack(bytes.fromhex(row["hex"]))
    assert caught.value.code is ErrorCode.MALFORMED


@pytest.mark.parametrize("row", VECTORS["refused_attributes"], ids=_name)
def test_a_bad_attribute_is_no_candidate(row: dict[str, str]) -> None:
    with pytest.raises(ProtocolError) as caught:
        candidates.parse(row["attribute"])
    assert caught.value.code is ErrorCode.MALFORMED


@pytest.mark.parametrize("row", CAPTURED, ids=_name)
def test_a_candidate_of_chromium_loses_only_what_means_nothing_to_others(row: dict[str, Any]) -> None:
    candidate = candidates.unpack(candidates.pack(candidates.parse(row["candidate"], line=row["line"])))
    words = row["candidate"].split(" ")
    kept = words[:8]
    for name, value in zip(words[8::2], words[9::2], strict=True):
        if name not in {"generation", "network-id", "network-cost"}:
            kept += [name, value]
    assert candidates.attribute(candidate).split(" ") == kept
    assert candidate.line == row["line"]


def test_the_captured_candidates_have_every_kind_of_host_candidate() -> None:
    texts = [row["candidate"] for row in CAPTURED]
    assert any(".local " in text for text in texts)
    assert any(" tcptype active" in text for text in texts)
    assert any(":" in text.split(" ")[4] for text in texts)
    assert {row["line"] for row in CAPTURED} == {0, 1}


@pytest.mark.e2e
async def test_chromium_reads_a_rebuilt_candidate_as_it_reads_the_original() -> None:
    originals = [row["candidate"] for row in CAPTURED] + [
        row["attribute"].removeprefix("a=")
        for row in VECTORS["accepted"]
        # Chromium knows components 1 and 2 alone, and writes IPv6 addresses anew only where they are not short yet.
        if row["name"] not in {"host-name", "ipv6-shortened-anew", "ipv6-mapped"}
    ]
    rebuilt = [candidates.attribute(candidates.unpack(candidates.pack(candidates.parse(one)))) for one in originals]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        page: Page = await browser.new_page()
        read = await page.evaluate(_FIELDS, originals)
        read_anew = await page.evaluate(_FIELDS, rebuilt)
        await browser.close()
    assert len(read) == len(originals)
    assert all(fields["foundation"] for fields in read)
    assert read_anew == read


_ICE_CHARACTERS = st.sampled_from("abcXYZ019+/")
_ADDRESSES = (
    st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str)
    | st.uuids().map(lambda uuid: f"{uuid}.local")
    | st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,10}){0,3}", fullmatch=True)
)
_PORTS = st.integers(0, 65_535)


@st.composite
def _attributes(draw: st.DrawFn) -> str:
    words = [
        f"candidate:{draw(st.text(_ICE_CHARACTERS, min_size=1, max_size=32))}",
        str(draw(st.integers(1, 15))),
        draw(st.sampled_from(candidates.TRANSPORTS)),
        str(draw(st.integers(0, 2**32 - 1))),
        draw(_ADDRESSES),
        str(draw(_PORTS)),
        "typ",
        draw(st.sampled_from(candidates.TYPES)),
    ]
    if draw(st.booleans()):
        words += ["raddr", draw(_ADDRESSES), "rport", str(draw(_PORTS))]
    if words[2] == "tcp":
        words += ["tcptype", draw(st.sampled_from(candidates.TCP_TYPES[1:]))]
    if draw(st.booleans()):
        words += ["ufrag", draw(st.text(_ICE_CHARACTERS, min_size=4, max_size=255))]
    return " ".join(words)


@settings(max_examples=1000)
@given(_attributes(), st.integers(0, 255))
def test_any_candidate_comes_back_the_same(attribute: str, line: int) -> None:
    packed = candidates.pack(candidates.parse(attribute, line=line))
    candidate = candidates.unpack(packed)
    assert candidate.line == line
    assert _comparable(candidates.attribute(candidate)) == _comparable(attribute)
    assert len(packed) <= 813


@settings(max_examples=1000)
@given(st.ip_addresses(v=6))
def test_every_ipv6_address_is_written_in_one_way(address: ipaddress.IPv6Address) -> None:
    text = f"candidate:1 1 udp 1 {address.exploded} 1 typ host"
    written = candidates.parse(text).address
    assert ipaddress.IPv6Address(written) == address
    assert "." not in written
    assert candidates.parse(text.replace(address.exploded, written)).address == written


@settings(max_examples=3000)
@given(st.binary(max_size=80))
def test_no_bytes_make_the_unpacker_fail_in_another_way(data: bytes) -> None:
    _unpack_or_refuse(data)


@settings(max_examples=2000)
@given(st.sampled_from([bytes.fromhex(row["hex"]) for row in VECTORS["accepted"]]), st.data())
def test_no_damaged_candidate_makes_the_unpacker_fail_in_another_way(packed: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(packed) - 1))
    byte = data.draw(st.integers(0, 255))
    _unpack_or_refuse(packed[:position] + bytes([byte]) + packed[position + 1 :])


@settings(max_examples=2000)
@given(st.text(max_size=80).map(lambda text: f"candidate:1 1 udp 1 {text}") | st.text(max_size=80))
def test_no_text_makes_the_parser_fail_in_another_way(text: str) -> None:
    with suppress(ProtocolError):
        candidates.pack(candidates.parse(text))


def _unpack_or_refuse(data: bytes) -> None:
    with suppress(ProtocolError):
        # What is accepted is canonical: there is one form of every candidate.
        assert candidates.pack(candidates.unpack(data)) == data


def _comparable(attribute: str) -> list[str]:
    """The words, with each IPv6 address in Python's own form."""
    return [str(ipaddress.IPv6Address(word)) if word.count(":") > 1 else word for word in attribute.split(" ")]
