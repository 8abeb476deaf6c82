"""The benchmark of the API measures what it says: its parts, not its figures."""

from tests.bench.api import compare


async def test_every_hot_read_is_measured_beside_bare_asgi_of_the_same_size() -> None:
    rows = await compare(seconds=0.3, rounds=1, connections=4)
    assert len(rows) == 5
    for row in rows:
        assert float(row["requests_per_cpu_s"]) > 0, row
        assert float(row["bare_requests_per_cpu_s"]) > 0, row
        assert float(row["ratio"]) > 0, row
