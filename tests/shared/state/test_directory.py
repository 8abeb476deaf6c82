import pytest

from shared.stack.stack import LocalStack
from shared.state.directory import Owner, RoomDirectory, parse_room_id
from tests.support import mongodb


async def test_a_room_is_found_as_it_was_made(state: LocalStack) -> None:
    async with mongodb.connect(state.mongodb_uri) as client:
        directory = RoomDirectory(client, "test")
        room = await directory.create("Late night", Owner("p1", "Ana"))
        assert await directory.find(room.id) == room
        assert await directory.find("aaaaaaaaaa") is None


async def test_a_code_that_is_taken_is_never_given_out_again(
    state: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = iter(["aaaaaaaaab", "aaaaaaaaab", "aaaaaaaaac"])
    monkeypatch.setattr("shared.state.directory._new_id", lambda: next(codes))
    async with mongodb.connect(state.mongodb_uri) as client:
        directory = RoomDirectory(client, "test")
        first = await directory.create("one", Owner("p1", "Ana"))
        second = await directory.create("two", Owner("p2", "Bo"))
        assert (first.id, second.id) == ("aaaaaaaaab", "aaaaaaaaac")


@pytest.mark.parametrize("typed", ["abcde-fghjk", "ABCDE FGHJK", " abcdefghjk\n", "ab-cd-ef-gh-jk"])
def test_a_code_may_be_typed_as_people_type(typed: str) -> None:
    assert parse_room_id(typed) == "abcdefghjk"


@pytest.mark.parametrize("typed", ["", "abcdefghj", "abcdefghjkm", "abcdefghi0", "../../etc/pa", "abcdefghjé"])
def test_what_cannot_be_a_code_is_none(typed: str) -> None:
    assert parse_room_id(typed) is None
