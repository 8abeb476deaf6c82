-- Say which server one is talking to. A replica that was promoted may lack the last invalidations: then nothing that it
-- has is believed.
--
-- KEYS: clock, server, version of the tag that all entries have
-- ARGV: nonce, id of the server's run, lifetime of a version in s, channel, that tag
-- Returns: 1 when it was another server than before

if redis.call('GET', KEYS[2]) == ARGV[2] then
    return 0
end
local epoch = clock(KEYS[1], ARGV[1])
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], epoch .. ':' .. whole(n) .. ':' .. ARGV[1], 'EX', ARGV[3])
redis.call('PUBLISH', ARGV[4], cmsgpack.pack({ epoch, n, '', { ARGV[5] } }))
return 1
