-- Where the log of a room stands, and what a client at (epoch, offset) has missed.
--
-- KEYS: log (stream), info (hash), live (hash), deleted (sorted set), settings (hash), bans (sorted set)
-- ARGV: header of log.lua; most recent events for a client without a position; the client's epoch or '', its offset
-- Returns: epoch, last offset, gap ('' | 'trimmed' | 'epoch'), live session or '', entries

local log, info, live, deleted, settings, bans = unpack(KEYS)
local recent, client_epoch, client_offset = ARGV[HEADER + 1], ARGV[HEADER + 2], tonumber(ARGV[HEADER + 3])
local epoch, last = position(log, info)
trim(log, info)
-- Those two expire together with what says that they were brought in, never before.
expire({ info, settings, bans }, ARGV[5])

local gap, entries = '', {}
if client_epoch == '' then
    local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', recent)
    for i = #newest, 1, -1 do
        entries[#entries + 1] = newest[i]
    end
else
    -- Somebody who is ahead of the log has seen an end of it that a failover lost.
    if client_epoch ~= epoch or client_offset > last then
        gap = 'epoch'
    elseif client_offset < tonumber(redis.call('HGET', info, 'trimmed') or '0') then
        gap = 'trimmed'
    end
    entries = redis.call('XRANGE', log, gap == '' and '(' .. ARGV[HEADER + 3] .. '-0' or '-', '+')
end
local session = redis.call('HGET', live, 'session') or ''
return { epoch, whole(last), gap, session, without_deleted(deleted, entries) }
