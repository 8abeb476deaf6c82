-- Put a report of a recording where functions look for it, unless a newer one is there.
--
-- KEYS: reports (hash: recording -> report as JSON)
-- ARGV: recording, report, revision

local present = redis.call('HGET', KEYS[1], ARGV[1])
if not present or cjson.decode(present).revision <= tonumber(ARGV[3]) then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
