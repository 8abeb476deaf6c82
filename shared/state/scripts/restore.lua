-- Bring in what MongoDB keeps of a room's settings and sanctions, once, when Redis has none of it.
--
-- KEYS: settings (hash), bans (sorted set)
-- ARGV: lifetime of the keys in s, candidate for the version of the terms, count of field/value pairs, the pairs,
--       then participant, µs until when (or 'inf') for each sanction
-- Returns: 1 when they were brought in, 0 when they had been

local settings, bans = KEYS[1], KEYS[2]
if redis.call('HSETNX', settings, 'restored', '1') == 0 then
    return 0
end
local pairs_end = 3 + 2 * tonumber(ARGV[3])
for i = 4, pairs_end, 2 do
    -- What was set since is newer.
    if redis.call('HSETNX', settings, ARGV[i], ARGV[i + 1]) == 1 and ARGV[i] == 'terms' then
        redis.call('HSET', settings, 'terms_version', ARGV[2])
    end
end
for i = pairs_end + 1, #ARGV, 2 do
    redis.call('ZADD', bans, 'NX', ARGV[i + 1], ARGV[i])
end
expire(KEYS, ARGV[1])
return 1
