-- Say that a room has, or is about to have, something to archive.
--
-- KEYS: news (sorted set: room -> µs when it is due)
-- ARGV: room

redis.call('ZADD', KEYS[1], whole(now_us()), ARGV[1])
