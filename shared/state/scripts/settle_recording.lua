-- Forget a report that is in MongoDB, unless another one took its place meanwhile.
--
-- KEYS: reports (hash: recording -> report as JSON)
-- ARGV: recording, report

if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
    redis.call('HDEL', KEYS[1], ARGV[1])
end
