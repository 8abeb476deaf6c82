-- Book the pull of an edge on its new parent.
--
-- KEYS: room (hash), book of the parent
-- ARGV: time; worker, token of the origin, parent, its boot, packets/s of a pull, lifetime of an edge that has not
--       reported in ms
-- Returns: verdict

local room, source = KEYS[1], KEYS[2]
local worker, token, parent, pull = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
local now = fleet_now()

local origin = redis.call('HMGET', room, 'token', 'until', 'worker')
if origin[1] ~= token or origin[3] == worker or tonumber(origin[2] or '0') <= now then
    return 'superseded'
end
if judge(source, false, ARGV[5], pull, 1, now, false) ~= 'admitted' then
    return 'parent_full'
end
reserve(source, pull, now, false)
local before = redis.call('HGET', room, 'e:' .. worker)
local viewers = before and before:match('^%d+ %d+ (%d+)') or '0'
local expires = whole(now + tonumber(ARGV[7]) * 1000)
redis.call('HSET', room, 'e:' .. worker, expires .. ' ' .. token .. ' ' .. viewers .. ' ' .. parent)
return 'admitted'
