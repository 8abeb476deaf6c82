-- Say how many viewers of a room a process serves, and learn how many there are.
--
-- KEYS: viewers (hash: instance -> "count:µs when that count expires"), info (hash)
-- ARGV: instance, count, lifetime of a count in ms
-- Returns: the sum over all processes whose count has not expired, and the epoch of the log or ''

local viewers = KEYS[1]
local now = now_us()
if ARGV[2] == '0' then
    redis.call('HDEL', viewers, ARGV[1])
else
    redis.call('HSET', viewers, ARGV[1], ARGV[2] .. ':' .. whole(now + tonumber(ARGV[3]) * 1000))
end
local sum = 0
local all = redis.call('HGETALL', viewers)
for i = 1, #all, 2 do
    local count, expiry = string.match(all[i + 1], '^(%d+):(%d+)$')
    if tonumber(expiry) < now then
        redis.call('HDEL', viewers, all[i])
    else
        sum = sum + tonumber(count)
    end
end
redis.call('PEXPIRE', viewers, ARGV[3])
return { sum, redis.call('HGET', KEYS[2], 'epoch') or '' }
