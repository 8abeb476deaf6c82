-- Begin to load an entry: where the clock stands, and whether this caller is the one to load.
--
-- KEYS: clock, lease, then the version of each tag that is known before the load
-- ARGV: nonce, lease in ms, lifetime of a version in s
-- Returns: {1 when the lease is the caller's, token}
--
-- A lease of before an invalidation is as good as none: what its holder loads will not be taken.

local epoch, n = clock(KEYS[1], ARGV[1])
local token = epoch .. ':' .. whole(n) .. ':' .. ARGV[1]
local held = redis.call('GET', KEYS[2])
local held_epoch, held_n = parsed(held)
local stands = held and held_epoch == epoch
for i = 3, #KEYS do
    local version = redis.call('GET', KEYS[i])
    local made_epoch, made = parsed(version)
    if made_epoch ~= epoch then
        redis.call('SET', KEYS[i], token, 'EX', ARGV[3])
        stands = false
    elseif made > held_n then
        stands = false
    end
end
if stands then
    return { 0, token }
end
redis.call('SET', KEYS[2], token, 'PX', ARGV[2])
return { 1, token }
