-- A sample of the people in a room: those who run it first.
--
-- KEYS: viewers, hosts (hashes: participant -> {name, role, {connection -> instance}})
-- ARGV: how many at most
-- Returns: how many there are, then participant, {name, role, …} of each of the sample

local limit = tonumber(ARGV[1])
local found = { redis.call('HLEN', KEYS[1]) + redis.call('HLEN', KEYS[2]) }
for _, key in ipairs({ KEYS[2], KEYS[1] }) do
    local left = limit - (#found - 1) / 2
    if left > 0 then
        for _, pair in ipairs(redis.call('HRANDFIELD', key, left, 'WITHVALUES')) do
            -- RESP2 replies are flat, RESP3 ones are pairs; scripts get RESP2.
            found[#found + 1] = pair
        end
    end
end
return found
