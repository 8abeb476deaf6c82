from collections.abc import AsyncIterator

import pytest_asyncio

from shared.cache.shared_level import SharedLevel
from shared.stack.stack import LocalStack


@pytest_asyncio.fixture
async def level(state: LocalStack) -> AsyncIterator[SharedLevel]:
    """An empty second level."""
    found = SharedLevel(state.cache_url)
    await found.redis.flushall()
    yield found
    await found.close()
