-- Give a room back: to be looked at again after a while, or for good. Nothing happens when it was announced meanwhile.
--
-- KEYS: news (sorted set: room -> µs when it is due)
-- ARGV: room, the score it was taken with, µs until it is due again or '' for good

local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) ~= tonumber(ARGV[2]) then
    return 0
end
if ARGV[3] == '' then
    redis.call('ZREM', KEYS[1], ARGV[1])
else
    redis.call('ZADD', KEYS[1], whole(now_us() + tonumber(ARGV[3])), ARGV[1])
end
return 1
