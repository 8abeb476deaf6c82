-- Let the archiver go to rest over a room that has been silent for a while and is archived completely.
--
-- KEYS: log (stream), info (hash)
-- ARGV: consumer group, silence in µs
-- Returns: 1 when nothing is left to archive, else 0

local log, info, group = KEYS[1], KEYS[2], ARGV[1]
local facts = redis.call('HMGET', info, 'last', 'archived')
local last, archived = tonumber(facts[1] or '0'), tonumber(facts[2] or '0')
if redis.call('EXISTS', log) == 1 then
    if archived < last or now_us() - last < tonumber(ARGV[2]) then
        return 0
    end
    -- Readers that were killed leave their names behind.
    for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', log, group)) do
        local fact = {}
        for i = 1, #consumer, 2 do
            fact[consumer[i]] = consumer[i + 1]
        end
        if fact['pending'] == 0 then
            redis.call('XGROUP', 'DELCONSUMER', log, group, fact['name'])
        end
    end
end
redis.call('HDEL', info, 'news')
redis.call('HINCRBY', info, 'rests', 1)
return 1
