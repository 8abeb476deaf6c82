-- Say that a connection is still there. A connection that was displaced stays so.
--
-- KEYS: sockets (sorted set), opened (hash)
-- ARGV: kind, connection, lifetime in ms
-- Returns: 1 held, 0 displaced

local member = ARGV[1] .. '|' .. ARGV[2]
if redis.call('HEXISTS', KEYS[2], member) == 0 then
    if redis.call('EXISTS', KEYS[2]) == 1 then
        return 0
    end
    redis.call('HSET', KEYS[2], member, whole(now_us()))
end
redis.call('ZADD', KEYS[1], whole(now_us() + tonumber(ARGV[3]) * 1000), member)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
