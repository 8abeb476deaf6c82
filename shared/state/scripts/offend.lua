-- Count a violation of an identity or an address. Whoever goes on is backed off, each time for twice as long.
--
-- KEYS: standing (hash: points, at (µs of the last one), level, until (µs))
-- ARGV: points forgiven per second, points that are borne, first back-off in ms, longest in ms,
--       seconds of peace after which the level sinks by one, weight of this violation
-- Returns: ms of back-off from now, 0 when it was borne

local standing = KEYS[1]
local now = now_us()
local known = redis.call('HMGET', standing, 'points', 'at', 'level')
local at, level = tonumber(known[2] or whole(now)), tonumber(known[3] or '0')
local until_us = backed_off_until(standing, now)
if until_us > now then
    return math.ceil((until_us - now) / 1000)
end
local quiet = math.max(0, now - math.max(at, until_us)) / 1000000
local points = math.max(0, tonumber(known[1] or '0') - quiet * tonumber(ARGV[1])) + tonumber(ARGV[6])
level = math.max(0, level - math.floor(quiet / tonumber(ARGV[5])))
local wait = 0
if points > tonumber(ARGV[2]) then
    wait = math.min(tonumber(ARGV[3]) * 2 ^ level, tonumber(ARGV[4]))
    level = math.min(level + 1, 30)
    points = 0
    until_us = now + wait * 1000
end
redis.call(
    'HSET', standing, 'points', string.format('%.3f', points), 'at', whole(now), 'level', level, 'until', whole(until_us)
)
-- Kept until everything is forgiven.
redis.call('EXPIRE', standing, math.ceil(wait / 1000 + (level + 1) * tonumber(ARGV[5]) + points / tonumber(ARGV[1]) + 1))
return wait
