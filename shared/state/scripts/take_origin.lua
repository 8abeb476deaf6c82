-- Give a room's origin to a worker, under a new fencing token.
--
-- KEYS: book of the worker, drains (hash), room (hash), rooms (sorted set: room -> µs when nobody serves it any more)
-- ARGV: time; worker, boot, packets/s that the stream is taken for, token that the room must still have, lease in ms, room
-- Returns: verdict, token

local book, drains, room, rooms = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local worker, boot, ask, expected = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local now = fleet_now()

local token = redis.call('HGET', room, 'token') or '0'
if token ~= expected then
    return { 'superseded', token }
end
local verdict = judge(book, redis.call('HEXISTS', drains, worker) == 1, boot, ask, 1, now, true)
if verdict ~= 'admitted' then
    return { verdict, token }
end
reserve(book, ask, now, true)
-- By the clock, so that it grows even where Redis has lost what it knew.
token = whole(math.max(tonumber(token) + 1, now))
local expires = whole(now + tonumber(ARGV[6]) * 1000)
redis.call('HSET', room, 'worker', worker, 'boot', boot, 'token', token, 'until', expires, 'viewers', 0)
redis.call('HDEL', room, 'e:' .. worker)
redis.call('EXPIRE', room, ROOM_LIFETIME_S)
redis.call('ZADD', rooms, expires, ARGV[7])
return { 'admitted', token }
