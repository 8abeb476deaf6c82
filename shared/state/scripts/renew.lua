-- Renew the lease of an SFU worker with what it reports of itself.
--
-- KEYS: leases (sorted set: worker -> µs when its lease expires), workers (hash: worker -> record), placed (hash)
-- ARGV: worker, record, lease in ms

redis.call('ZADD', KEYS[1], whole(now_us() + tonumber(ARGV[3]) * 1000), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
-- The report counts what was placed before it.
redis.call('HDEL', KEYS[3], ARGV[1])
