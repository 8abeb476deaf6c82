-- Take a room's origin from whoever holds it under the given token.
--
-- KEYS: room (hash)
-- ARGV: token
-- Returns: 1, or 0 when that is not the token any more

if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] or redis.call('HDEL', KEYS[1], 'worker', 'boot', 'until') == 0 then
    return 0
end
-- Or whoever held it would have it again at their next renewal.
redis.call('HINCRBY', KEYS[1], 'token', 1)
return 1
