-- A page of a room's log for history, and what of it was deleted.
--
-- KEYS: log (stream), info (hash), deleted (sorted set: offset -> offset of the deletion)
-- ARGV: after, before (offsets, both exclusive), limit, 'first' | 'last' (which end of the range the page is at)
-- Returns: offsets deleted in the range (at most 10000), entries oldest first

local log, deleted = KEYS[1], KEYS[3]
local low, high = '(' .. ARGV[1] .. '-0', '(' .. ARGV[2] .. '-0'
local entries = {}
if ARGV[4] == 'first' then
    entries = redis.call('XRANGE', log, low, high, 'COUNT', ARGV[3])
else
    local newest = redis.call('XREVRANGE', log, high, low, 'COUNT', ARGV[3])
    for i = #newest, 1, -1 do
        entries[#entries + 1] = newest[i]
    end
end
return { redis.call('ZRANGE', deleted, 0, 9999, 'REV'), entries }
