-- In front of every script that works on a room's log.
--
-- The first arguments are always the same: candidate for a new epoch, history in events, history in µs, events held
-- for the archiver (0: there is none), lifetime of the keys in s, and the token of "the archiver knows" or ''.
-- `info` (hash) has: epoch, last (offset), trimmed (last offset cut off), archived (all up to it are in MongoDB), news
-- (the archiver knows that there is something to read), rests (how often it went to rest), messages,
-- lost (events cut off unarchived), lost_told (of these, those that tell_lost.lua has told).

local HEADER = 6

-- The epoch of a log and its last offset. The epoch is made with the log, and anew when the log was lost.
local function position(log, info)
    local facts = redis.call('HMGET', info, 'epoch', 'last')
    local epoch, last = facts[1], tonumber(facts[2] or '0')
    if not epoch or (last > 0 and redis.call('EXISTS', log) == 0) then
        epoch = ARGV[1]
        redis.call('HSET', info, 'epoch', epoch)
        redis.call('HDEL', info, 'trimmed', 'archived')
    end
    return epoch, last
end

-- What a script must return before it appends anything, when no archiver would look for it: the caller tells them, and
-- calls again with the token. A room that went to rest in between has another token, so nothing slips through.
local function unannounced(info)
    if ARGV[4] == '0' then
        return nil
    end
    local facts = redis.call('HMGET', info, 'news', 'rests')
    if facts[1] then
        return nil
    end
    local token = facts[2] or '0'
    if ARGV[6] == token then
        redis.call('HSET', info, 'news', '1')
        return nil
    end
    return { 'UNANNOUNCED', token }
end

-- Append one event and return its offset: the time in µs, or the last offset + 1 where that is more. So offsets rise
-- strictly, fit in 53 bits until 2255, tell the time, and none is given out twice even when a restart lost the end of
-- the log. `settle` must follow.
local function append(log, last, event)
    local offset = math.max(last + 1, now_us())
    redis.call('XADD', log, whole(offset) .. '-0', 'e', event)
    return offset
end

local function offset_of(entry)
    return tonumber(string.match(entry[1], '^(%d+)-'))
end

-- Cutting costs a read of what is cut, so it is done for this many events at a time, and never for more than that.
local SLACK, STEP = 100, 1000

-- The last offset that the bounds by count and by age want gone, or 0.
local function beyond_bounds(log, first, length, history, age)
    local cut = 0
    if length > history + SLACK then
        local over = redis.call('XRANGE', log, '-', '+', 'COUNT', math.min(length - history, STEP))
        cut = offset_of(over[#over])
    end
    local oldest = now_us() - age
    return first < oldest and math.max(cut, oldest) or cut
end

-- Cut off what is beyond the bounds, but nothing that is not in MongoDB yet, unless too much waits for that.
local function trim(log, info)
    local length = redis.call('XLEN', log)
    if length == 0 then
        return
    end
    local history, age, held = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
    local first = offset_of(redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1])
    local archived = held > 0 and tonumber(redis.call('HGET', info, 'archived') or '0') or math.huge
    local cut = 0
    if archived >= first then
        cut = math.min(beyond_bounds(log, first, length, history, age), archived)
    end
    if held > 0 and length > held + SLACK then
        local over = redis.call('XRANGE', log, '-', '+', 'COUNT', math.min(length - held, STEP))
        local forced = offset_of(over[#over])
        if forced > math.max(cut, archived) then
            redis.call('HINCRBY', info, 'lost', #over)
        end
        cut = math.max(cut, forced)
    end
    if cut < first then
        return
    end
    -- Exactly the last one that goes, so that a reader who has that one is not told of a gap.
    redis.call('HSET', info, 'trimmed', whole(offset_of(redis.call('XREVRANGE', log, whole(cut), '-', 'COUNT', 1)[1])))
    redis.call('XTRIM', log, 'MINID', '=', whole(cut + 1) .. '-0')
end

-- After the last `append`.
local function settle(log, info, last)
    redis.call('HSET', info, 'last', whole(last))
    trim(log, info)
end

-- Entries without those that a moderator deleted.
local function without_deleted(deleted, entries)
    if redis.call('EXISTS', deleted) == 0 then
        return entries
    end
    local kept = {}
    for _, entry in ipairs(entries) do
        if not redis.call('ZSCORE', deleted, whole(offset_of(entry))) then
            kept[#kept + 1] = entry
        end
    end
    return kept
end

