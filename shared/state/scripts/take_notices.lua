-- Read the oldest notices under a lease, so that one process at a time moves them.
--
-- KEYS: waiting (list), lease
-- ARGV: instance, lease in ms, how many
-- Returns: the notices; none where another process has the lease

local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then
    return {}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return redis.call('LRANGE', KEYS[1], 0, tonumber(ARGV[3]) - 1)
