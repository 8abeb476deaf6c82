-- Where the log of a room stands, and what a client at (epoch, offset) has missed.
--
-- KEYS: log (stream), info (hash), live (hash)
-- ARGV: new epoch, key lifetime in s, most recent events for a client without a position,
--       the client's epoch or '', the client's offset
-- Returns: epoch, last offset, gap ('' | 'trimmed' | 'epoch'), live session or '', entries

local log, info, live = KEYS[1], KEYS[2], KEYS[3]
local epoch, last = position(log, info, ARGV[1])
expire({ info }, ARGV[2])

-- Whether events after `offset` were trimmed. Somebody who stands exactly at the last one that was is told of a gap
-- that is empty: Redis does not remember which one that was.
local function trimmed(offset)
    local facts = {}
    local list = redis.call('XINFO', 'STREAM', log)
    for i = 1, #list, 2 do
        facts[list[i]] = list[i + 1]
    end
    if facts['entries-added'] == facts['length'] then
        return false
    end
    local first = tonumber(string.match(facts['first-entry'][1], '^(%d+)-'))
    return offset < first
end

local gap, entries = '', {}
if ARGV[4] ~= '' and ARGV[4] ~= epoch then
    gap = 'epoch'
elseif ARGV[4] ~= '' and last > 0 and trimmed(tonumber(ARGV[5])) then
    gap = 'trimmed'
end
if ARGV[4] == '' then
    local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', ARGV[3])
    for i = #newest, 1, -1 do
        entries[#entries + 1] = newest[i]
    end
elseif gap == '' then
    entries = redis.call('XRANGE', log, '(' .. ARGV[5] .. '-0', '+')
else
    entries = redis.call('XRANGE', log, '-', '+')
end
return { epoch, whole(last), gap, redis.call('HGET', live, 'session') or '', entries }
