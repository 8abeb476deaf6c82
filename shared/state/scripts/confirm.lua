-- Compare the log of a room with what a server process has read of it. A failover may have lost its end: then the log
-- gets a new epoch, so that everybody is told.
--
-- KEYS: log (stream), info (hash)
-- ARGV: header of log.lua; the process's epoch, its offset
-- Returns: the epoch that holds now

local epoch, last = position(KEYS[1], KEYS[2])
if epoch == ARGV[HEADER + 1] and last < tonumber(ARGV[HEADER + 2]) then
    epoch = ARGV[1]
    redis.call('HSET', KEYS[2], 'epoch', epoch)
end
return epoch
