-- Say that entries of a room's log are in MongoDB: they are acknowledged, and the log may be cut up to there.
--
-- KEYS: log (stream), info (hash)
-- ARGV: header of log.lua; consumer group, then the ids of the entries
-- Returns: the offset up to which everything is archived

local log, info, group = KEYS[1], KEYS[2], ARGV[HEADER + 1]
if redis.call('EXISTS', log) == 0 then
    return '0'
end
if #ARGV > HEADER + 1 then
    redis.call('XACK', log, group, unpack(ARGV, HEADER + 2))
end
local pending = redis.call('XPENDING', log, group)
local frontier
if pending[1] > 0 then
    frontier = tonumber(string.match(pending[2], '^(%d+)-')) - 1
else
    for _, facts in ipairs(redis.call('XINFO', 'GROUPS', log)) do
        local fact = {}
        for i = 1, #facts, 2 do
            fact[facts[i]] = facts[i + 1]
        end
        if fact['name'] == group then
            frontier = tonumber(string.match(fact['last-delivered-id'], '^(%d+)-'))
        end
    end
end
redis.call('HSET', info, 'archived', whole(frontier))
trim(log, info)
return whole(frontier)
