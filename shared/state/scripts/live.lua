-- Change which stream is live in a room, and say so in its log.
--
-- KEYS: log (stream), info (hash), live (hash)
-- ARGV: header of log.lua; 'started' | 'ended', session, event, then the fields of `live`
-- Returns: offset of the event, or nothing where nothing changed: the same session is live already, or the one that
--       ended is not the live one any more; or {'UNANNOUNCED', token}

local log, info, live = KEYS[1], KEYS[2], KEYS[3]
local change, session, event = ARGV[HEADER + 1], ARGV[HEADER + 2], ARGV[HEADER + 3]
local same = redis.call('HGET', live, 'session') == session
if same == (change == 'started') then
    return false
end
local again = unannounced(info)
if again then
    return again
end
local _, last = position(log, info)
local offset = append(log, last, event)
settle(log, info, offset)
redis.call('DEL', live)
if change == 'started' then
    redis.call('HSET', live, 'session', session, 'offset', whole(offset), unpack(ARGV, HEADER + 4))
end
expire(KEYS, ARGV[5])
return whole(offset)
