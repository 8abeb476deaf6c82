-- Add notices for the archive; beyond the bound the oldest go.
--
-- KEYS: waiting (list)
-- ARGV: how many may wait, the notices
-- Returns: how many were dropped

local length = redis.call('RPUSH', KEYS[1], unpack(ARGV, 2))
local over = length - tonumber(ARGV[1])
if over > 0 then
    redis.call('LTRIM', KEYS[1], over, -1)
    return over
end
return 0
