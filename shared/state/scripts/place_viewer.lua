-- Book a viewer on a worker and, where that does not serve the room yet, its pull on whom it pulls from.
--
-- KEYS: book of the worker, drains (hash), room (hash), sticky (string: the viewer's worker), book of the parent
-- ARGV: time; worker, boot, packets/s of a viewer, share of the budget, token of the origin, parent or '', its boot,
--       packets/s of a pull, lifetime of an edge that has not reported in ms, of the memory where the viewer was in s (0:
--       none)
-- Returns: verdict, and the parent of the edge

local book, drains, room, sticky, source = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local worker, boot, ask, share, token = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local parent, parent_boot, pull = ARGV[7], ARGV[8], tonumber(ARGV[9])
local now = fleet_now()

local origin = redis.call('HMGET', room, 'token', 'until')
if origin[1] ~= token or tonumber(origin[2] or '0') <= now then
    return { 'superseded', '' }
end
local verdict = judge(book, redis.call('HEXISTS', drains, worker) == 1, boot, ask, share, now, true)
if verdict ~= 'admitted' then
    return { verdict, '' }
end
if parent ~= '' then
    if edge_until(room, worker) > now then
        -- Somebody was faster: the pull is booked.
        parent = redis.call('HGET', room, 'e:' .. worker):match('(%S*)$')
    else
        if judge(source, false, parent_boot, pull, 1, now, false) ~= 'admitted' then
            return { 'parent_full', '' }
        end
        reserve(source, pull, now, false)
        local expires = whole(now + tonumber(ARGV[10]) * 1000)
        redis.call('HSET', room, 'e:' .. worker, expires .. ' ' .. token .. ' 0 ' .. parent)
    end
end
reserve(book, ask, now, true)
if ARGV[11] ~= '0' then
    redis.call('SET', sticky, worker, 'EX', ARGV[11])
end
return { 'admitted', parent }
