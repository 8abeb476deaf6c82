-- Turn a session's refresh token into the next one, or end a session whose token comes from a thief or a mirror.
--
-- The next token follows from the present one and the session's salt, so whoever asks again within the grace, because
-- an answer was lost or two windows asked at once, gets the same one.
--
-- KEYS: session (hash: current, previous (hashes of tokens), rotated (ms), used (ms), …), sessions (sorted set by end)
-- ARGV: session id, hash of the token presented, hash of the one after it, grace in ms, lifetime in ms
-- Returns: 0 there is no such session, 1 go on, 2 the token was used before: the session is ended

local now_ms = math.floor(now_us() / 1000)
local known = redis.call('HMGET', KEYS[1], 'current', 'previous', 'rotated')
if not known[1] then
    return 0
end
if ARGV[2] == known[1] then
    redis.call(
        'HSET', KEYS[1], 'current', ARGV[3], 'previous', ARGV[2], 'rotated', whole(now_ms), 'used', whole(now_ms)
    )
elseif ARGV[2] ~= known[2] or ARGV[3] ~= known[1] or now_ms - tonumber(known[3]) > tonumber(ARGV[4]) then
    redis.call('DEL', KEYS[1])
    redis.call('ZREM', KEYS[2], ARGV[1])
    return 2
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], whole(now_ms + tonumber(ARGV[5])), ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return 1
