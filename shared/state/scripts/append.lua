-- Append what a process received in one tick to the log of a room.
--
-- KEYS: log (stream), info (hash), settings (hash), bans (sorted set: participant -> µs until when),
--       seen (sorted set: sender:id -> offset), gifts (sorted set: key -> offset),
--       rates (sorted set: sender -> µs when the budget is full again), slow (sorted set: sender -> µs of the last one)
-- ARGV: header of log.lua; windows of de-duplication in µs for messages and for gifts; the version of the blocked terms
--       that the caller checked against; a MessagePack array with for each message an array of 'c' (chat) | 'g' (gift),
--       sender, id (as text), messages per second allowed, sum of 1 (moderates) and 2 (has a blocked term); the events
-- Returns: "outcome value" per message, joined by commas, for one string is read much faster than an array;
--       or {'UNANNOUNCED', token} | {'TERMS', version} when nothing was done
--       outcome 0 appended (value: offset), 1 appended before (value: its offset), 2 too fast, 3 slow mode (value: wait
--       in ms), 4 banned (value: ms left, 0 for good), 5 blocked term

local log, info, settings, bans, seen, gifts, rates, slow = unpack(KEYS)
local now = now_us()
local wanted = redis.call('HMGET', settings, 'terms_version', 'slow_mode_s')
local version = wanted[1] or ''
if version ~= ARGV[HEADER + 3] then
    return { 'TERMS', version }
end
local again = unannounced(info)
if again then
    return again
end
local slow_us = tonumber(wanted[2] or '0') * 1000000
local _, last = position(log, info)

redis.call('ZREMRANGEBYSCORE', seen, '-inf', '(' .. whole(now - tonumber(ARGV[HEADER + 1])))
redis.call('ZREMRANGEBYSCORE', gifts, '-inf', '(' .. whole(now - tonumber(ARGV[HEADER + 2])))
redis.call('ZREMRANGEBYSCORE', bans, '-inf', whole(now))
redis.call('ZREMRANGEBYSCORE', rates, '-inf', whole(now))
redis.call('ZREMRANGEBYSCORE', slow, '-inf', whole(now - 600000000))
local any_ban = redis.call('EXISTS', bans) == 1

-- Two seconds' worth may come at once. What is kept of a sender is when all of it may come again (the generic cell rate
-- algorithm); whoever is not kept may send it all. Returns the wait in ms, 0 when the message may pass.
local BURST_US = 2000000
local function take(sender, rate)
    local due = full_again(redis.call('ZSCORE', rates, sender), now, BURST_US)
    local step = 1000000 / rate
    local over = due + step - now - BURST_US
    if over > 0 then
        return math.ceil(over / 1000)
    end
    redis.call('ZADD', rates, whole(due + step), sender)
    return 0
end

local function until_next(sender)
    local before = redis.call('ZSCORE', slow, sender)
    -- Nobody has spoken later than now; where it says so, the server's clock was set back.
    local last_us = tonumber(before or '0')
    return last_us <= now and math.max(0, math.ceil((last_us + slow_us - now) / 1000)) or 0
end

local appended = 0
local function decide(kind, sender, id, rate, flags, event)
    local known, member = seen, sender .. ':' .. id
    if kind == 'g' then
        known, member = gifts, id
    end
    local before = redis.call('ZSCORE', known, member)
    if before then
        return 1, tonumber(before)
    end
    local moderates, blocked = flags % 2 == 1, flags >= 2
    local banned = any_ban and redis.call('ZSCORE', bans, sender)
    if banned then
        return 4, banned == 'inf' and 0 or math.ceil((tonumber(banned) - now) / 1000)
    end
    if blocked then
        return 5, 0
    end
    local slowed = slow_us > 0 and kind == 'c' and not moderates
    if slowed then
        local wait = until_next(sender)
        if wait > 0 then
            return 3, wait
        end
    end
    local wait = take(sender, rate)
    if wait > 0 then
        return 2, wait
    end
    last = append(log, last, event)
    appended = appended + 1
    redis.call('ZADD', known, whole(last), member)
    if slowed then
        redis.call('ZADD', slow, whole(now), sender)
    end
    return 0, last
end

local results = {}
for i, message in ipairs(cmsgpack.unpack(ARGV[HEADER + 4])) do
    local outcome, value =
        decide(message[1], message[2], message[3], message[4], message[5], ARGV[HEADER + 4 + i])
    results[i] = outcome .. ' ' .. whole(value)
end
if appended > 0 then
    redis.call('HINCRBY', info, 'messages', appended)
    settle(log, info, last)
end
expire(KEYS, ARGV[5])
return table.concat(results, ',')
