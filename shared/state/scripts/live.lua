-- Change which stream is live in a room, and say so in its log.
--
-- KEYS: log (stream), info (hash), live (hash)
-- ARGV: new epoch, history length, key lifetime in s, 'started' | 'ended', session, event, then the fields of `live`
-- Returns: offset of the event, or nothing where nothing changed: the same session is live already, or the one that
--       ended is not the live one any more

local log, info, live = KEYS[1], KEYS[2], KEYS[3]
local same = redis.call('HGET', live, 'session') == ARGV[5]
if same == (ARGV[4] == 'started') then
    return false
end
local _, last = position(log, info, ARGV[1])
local offset = append(log, info, last, ARGV[2], ARGV[6])
redis.call('DEL', live)
if ARGV[4] == 'started' then
    redis.call('HSET', live, 'session', ARGV[5], 'offset', whole(offset), unpack(ARGV, 7))
end
expire(KEYS, ARGV[3])
return whole(offset)
