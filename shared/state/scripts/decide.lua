-- Admit or reject people who wait at the door of a room.
--
-- KEYS: waiting (sorted set), lapses (sorted set), knocks (hash), approved (set), rejected (sorted set)
-- ARGV: participant or '' for everybody, 'accept' | 'reject' | 'cancel', ms for which a rejection holds, lifetime in s
-- Returns: the participants that this was about

local waiting, lapses, knocks, approved, rejected = unpack(KEYS)
local now = now_us()
local chosen = {}
if ARGV[1] == '' then
    chosen = redis.call('ZRANGE', waiting, 0, -1)
elseif redis.call('ZSCORE', waiting, ARGV[1]) then
    chosen = { ARGV[1] }
end
redis.call('ZREMRANGEBYSCORE', rejected, '-inf', whole(now))
for _, participant in ipairs(chosen) do
    redis.call('ZREM', waiting, participant)
    redis.call('ZREM', lapses, participant)
    redis.call('HDEL', knocks, participant)
    if ARGV[2] == 'accept' then
        redis.call('SADD', approved, participant)
        redis.call('ZREM', rejected, participant)
    elseif ARGV[2] == 'reject' then
        redis.call('ZADD', rejected, whole(now + tonumber(ARGV[3]) * 1000), participant)
    end
end
expire(KEYS, ARGV[4])
return chosen
