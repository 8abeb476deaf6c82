-- Take rooms that have news, so that no other archiver looks at them meanwhile.
--
-- KEYS: news (sorted set: room -> µs when it is due)
-- ARGV: how many at most, lease in µs
-- Returns: room, score, room, score, …

local now = now_us()
local rooms = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', 0, ARGV[1])
local taken = {}
for i, room in ipairs(rooms) do
    -- Each its own score: it is how the archiver recognizes that nobody has announced news since.
    local lease = whole(now + tonumber(ARGV[2]) + i)
    redis.call('ZADD', KEYS[1], lease, room)
    taken[#taken + 1] = room
    taken[#taken + 1] = lease
end
return taken
