-- Begin a session; where somebody has too many, their oldest ones end.
--
-- KEYS: session (hash), sessions (sorted set: id by ms of its end); the keys of sessions to be ended are made from the
--       first one, which is on the same shard
-- ARGV: session id, lifetime in ms, how many there may be, then field and value of the session, and so on
-- Returns: ids of the sessions that were ended

local now_ms = math.floor(now_us() / 1000)
local id, lifetime_ms, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now_ms))
local ended = {}
local there = redis.call('ZCARD', KEYS[2])
if there >= most then
    ended = redis.call('ZRANGE', KEYS[2], 0, there - most)
    for _, other in ipairs(ended) do
        redis.call('DEL', string.sub(KEYS[1], 1, -#id - 1) .. other)
        redis.call('ZREM', KEYS[2], other)
    end
end
redis.call('HSET', KEYS[1], 'begun', whole(now_ms), 'used', whole(now_ms), 'rotated', whole(now_ms), 'previous', '')
for index = 4, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
end
redis.call('PEXPIRE', KEYS[1], lifetime_ms)
redis.call('ZADD', KEYS[2], whole(now_ms + lifetime_ms), id)
redis.call('PEXPIRE', KEYS[2], lifetime_ms)
return ended
