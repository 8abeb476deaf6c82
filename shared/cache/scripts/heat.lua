-- Add what one process measured of accesses, and tell what all of them did.
--
-- KEYS: counts of this window and of the one before (sorted sets)
-- ARGV: lifetime of a window in s, how many to tell; then entry, accesses
-- Returns: {[entry, accesses, …] of this window, the same of the one before}, most accesses first

for i = 3, #ARGV, 2 do
    redis.call('ZINCRBY', KEYS[1], ARGV[i + 1], ARGV[i])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
local told = {}
for i = 1, 2 do
    told[i] = redis.call('ZRANGE', KEYS[i], 0, tonumber(ARGV[2]) - 1, 'REV', 'WITHSCORES')
end
return told
