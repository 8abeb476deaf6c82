-- Forget notices that were moved, unless the lease went to another process, or they went by the bound.
--
-- KEYS: waiting (list), lease
-- ARGV: instance, how many, the first of them

if redis.call('GET', KEYS[2]) == ARGV[1] and redis.call('LINDEX', KEYS[1], 0) == ARGV[3] then
    redis.call('LTRIM', KEYS[1], ARGV[2], -1)
end
return 0
