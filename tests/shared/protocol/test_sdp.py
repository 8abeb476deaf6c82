import base64
import hashlib
import json
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.protocol import sdp, vectors
from shared.protocol.errors import ErrorCode, ProtocolError

CORPUS = Path(__file__).with_name("corpus")
MEASURED = sorted((CORPUS / "measured").glob("*.sdp"))
VECTORS = json.loads(vectors.PATH.read_text(encoding="utf-8"))["sdp"]


def _name(row: dict[str, str] | Path) -> str:
    return row.stem if isinstance(row, Path) else row["name"]


def test_the_dictionary_is_the_one_that_was_shipped() -> None:
    digest = hashlib.sha256(sdp.DICTIONARY_PATH.read_bytes()).hexdigest()
    assert digest in vectors.PATH.with_name("SPEC.md").read_text(encoding="utf-8")
    assert digest == "d8ddc371d49b9d8302608ccb1ed529709619bbb6cb52200c6afbe9aafa917c59"


def test_nothing_that_is_measured_with_was_used_for_the_dictionary() -> None:
    dictionary = {path.read_bytes() for path in (CORPUS / "dictionary").glob("*.sdp")}
    assert dictionary
    assert not dictionary & {path.read_bytes() for path in MEASURED}


@pytest.mark.parametrize("path", MEASURED, ids=_name)
def test_a_description_comes_back_the_same_and_smaller_by_far(path: Path) -> None:
    text = path.read_bytes().decode()
    compressed = sdp.compress(text)
    assert sdp.inflate(compressed) == sdp.plain(compressed) == sdp.plain(text) == text
    assert len(compressed) < len(text) / 3


@pytest.mark.parametrize("folder", ["sfu_fleet/corpus"])
def test_descriptions_of_other_programs_shrink_too(folder: str) -> None:
    for path in (Path(__file__).parents[2] / folder).glob("*.sdp"):
        text = path.read_bytes().decode()
        assert len(sdp.compress(text)) < len(text) / 3, path


@pytest.mark.parametrize("path", MEASURED, ids=_name)
def test_what_a_browser_compresses_is_read_here(path: Path) -> None:
    rows = json.loads((CORPUS / "fflate.json").read_text(encoding="utf-8"))
    assert sdp.inflate(base64.b64decode(rows[path.name])) == path.read_bytes().decode()


@pytest.mark.parametrize("row", VECTORS["accepted"], ids=_name)
def test_compressed_sdp_is_its_text(row: dict[str, str]) -> None:
    assert sdp.inflate(bytes.fromhex(row["hex"])) == row["text"]
    assert sdp.inflate(sdp.compress(row["text"])) == row["text"]


@pytest.mark.parametrize("row", VECTORS["refused"], ids=_name)
def test_bad_compressed_sdp_is_refused_in_the_name_of_its_request(row: dict[str, str]) -> None:
    with pytest.raises(ProtocolError) as caught:
        sdp.inflate(bytes.fromhex(row["hex"]), reference=17)
    assert caught.value.code is ErrorCode.SDP_REFUSED
    assert caught.value.reference == 17


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(ProtocolError, match="after its end"):
        sdp.inflate(sdp.compress("v=0\r\n") + b"\x00")


def test_a_bomb_is_inflated_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []

    class Watched:
        """zlib's own object, whose `decompress` cannot be replaced."""

        def __init__(self, window_bits: int, dictionary: bytes) -> None:
            self._real = decompressobj(window_bits, dictionary)

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

        def decompress(self, data: bytes, max_length: int) -> bytes:
            limits.append(max_length)
            inflated: bytes = self._real.decompress(data, max_length)
            assert len(inflated) <= max_length
            return inflated

    decompressobj = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Watched)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = bytes([sdp.VERSION]) + compressor.compress(bytes(50_000_000)) + compressor.flush()
    with pytest.raises(ProtocolError, match="more than 32768 characters"):
        sdp.inflate(bomb)
    assert limits == [4 * 32_768 + 1]


@pytest.mark.parametrize("character", ["x", "é", "✓", "👍"])
def test_the_limit_counts_characters_however_many_bytes_they_take(character: str) -> None:
    assert sdp.inflate(sdp.compress(character * 32_768)) == character * 32_768
    with pytest.raises(ProtocolError, match="32768"):
        sdp.inflate(sdp.compress(character * 32_769))


@settings(max_examples=500)
@given(st.text(min_size=1, max_size=300))
def test_any_text_comes_back_the_same(text: str) -> None:
    assert sdp.inflate(sdp.compress(text)) == text


@settings(max_examples=2000)
@given(st.binary(max_size=200).map(lambda data: b"\x01" + data))
def test_no_bytes_make_the_inflater_fail_in_another_way(data: bytes) -> None:
    with suppress(ProtocolError):
        assert 0 < len(sdp.inflate(data)) <= 32_768
