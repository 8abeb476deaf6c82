-- How many events were cut from a room's log before they were archived and have not been told of: each is told once.
--
-- KEYS: info (hash)
-- Returns: their number

local info = KEYS[1]
local facts = redis.call('HMGET', info, 'lost', 'lost_told')
local lost, told = tonumber(facts[1] or '0'), tonumber(facts[2] or '0')
if lost > told then
    redis.call('HSET', info, 'lost_told', lost)
end
return lost - told
