-- Let an identity open one more connection, or say why not. Exact over all processes.
--
-- KEYS: sockets (sorted set: "kind|connection" -> µs when it lapses), opened (hash: "kind|connection" -> µs of opening),
--       joins (string: µs when the budget is full again), standing (hash: see offend.lua)
-- ARGV: kind or '' when all kinds count together, connection, how many at most, lifetime of a connection in ms,
--       joins per second, burst of joins, '1' when the oldest may be displaced
-- Returns: {outcome, value, connection displaced or ''}
--       outcome 0 open (value: connections), 1 too many (value: 0), 2 joins too fast, 3 backed off (value: wait in ms)

local sockets, opened, joins, standing = unpack(KEYS)
local now = now_us()
local kind, limit = ARGV[1], tonumber(ARGV[3])
local member = kind .. '|' .. ARGV[2]

local until_us = backed_off_until(standing, now)
if until_us > now then
    return { 3, math.ceil((until_us - now) / 1000), '' }
end
local wait = spend(joins, now, tonumber(ARGV[5]), tonumber(ARGV[6]))
if wait > 0 then
    return { 2, wait, '' }
end

for _, lapsed in ipairs(redis.call('ZRANGEBYSCORE', sockets, '-inf', whole(now))) do
    redis.call('ZREM', sockets, lapsed)
    redis.call('HDEL', opened, lapsed)
end
local longest = now + tonumber(ARGV[4]) * 1000
shorten(sockets, longest)
local held, oldest, since = 0, '', math.huge
local all = redis.call('HGETALL', opened)
for i = 1, #all, 2 do
    if string.match(all[i], '^([^|]*)|') == kind and all[i] ~= member then
        held = held + 1
        if tonumber(all[i + 1]) < since then
            oldest, since = all[i], tonumber(all[i + 1])
        end
    end
end
local displaced = ''
if held >= limit then
    if ARGV[7] ~= '1' or oldest == '' then
        return { 1, 0, '' }
    end
    redis.call('ZREM', sockets, oldest)
    redis.call('HDEL', opened, oldest)
    displaced = string.match(oldest, '|(.*)$')
    held = held - 1
end
redis.call('ZADD', sockets, whole(longest), member)
redis.call('HSET', opened, member, whole(now))
redis.call('PEXPIRE', sockets, ARGV[4])
redis.call('PEXPIRE', opened, ARGV[4])
return { 0, held + 1, displaced }
