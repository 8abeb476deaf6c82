-- End sessions or API keys before their tokens expire.
--
-- KEYS: the list (sorted set: id by ms of its end)
-- ARGV: ms after which an entry is needed no more, ids
-- Returns: how many were new

local now_ms = math.floor(now_us() / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(now_ms - tonumber(ARGV[1])))
local added = 0
for index = 2, #ARGV do
    added = added + redis.call('ZADD', KEYS[1], 'NX', whole(now_ms), ARGV[index])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return added
