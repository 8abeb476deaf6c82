-- In front of every script: time, epoch and offsets.

-- The server's time in µs.
local function now_us()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- An integer as text; Lua's own conversion would round it to 14 digits.
local function whole(number)
    return string.format('%.0f', number)
end

-- The epoch of a log and its last offset. The epoch is made with the log, and anew when the log was lost.
local function position(log, info, candidate)
    local epoch = redis.call('HGET', info, 'epoch')
    local last = tonumber(redis.call('HGET', info, 'last') or '0')
    if not epoch or (last > 0 and redis.call('EXISTS', log) == 0) then
        epoch = candidate
        redis.call('HSET', info, 'epoch', epoch)
    end
    return epoch, last
end

-- Append one event and return its offset: the time in µs, or the last offset + 1 where that is more. So offsets rise
-- strictly, fit in 53 bits until 2255, tell the time, and none is given out twice even when a restart lost the end of
-- the log.
local function append(log, info, last, history, event)
    local offset = math.max(last + 1, now_us())
    redis.call('XADD', log, 'MAXLEN', '~', history, whole(offset) .. '-0', 'e', event)
    redis.call('HSET', info, 'last', whole(offset))
    return offset
end

local function expire(keys, seconds)
    for _, key in ipairs(keys) do
        redis.call('EXPIRE', key, seconds)
    end
end

