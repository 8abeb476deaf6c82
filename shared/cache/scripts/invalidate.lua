-- Make every entry that has one of these tags invalid, and say so to all processes.
--
-- KEYS: clock, then the version of each tag
-- ARGV: nonce, lifetime of a version in s, channel, who says so; then each tag
-- Returns: where the clock stands now

local epoch = clock(KEYS[1], ARGV[1])
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
local tags = {}
for i = 2, #KEYS do
    redis.call('SET', KEYS[i], epoch .. ':' .. whole(n) .. ':' .. ARGV[1], 'EX', ARGV[2])
    tags[#tags + 1] = ARGV[i + 3]
end
redis.call('PUBLISH', ARGV[3], cmsgpack.pack({ epoch, n, ARGV[4], tags }))
return n
