-- Carry out what a moderator decides, and say so in the log of the room.
--
-- KEYS: log (stream), info (hash), settings (hash), bans (sorted set), deleted (sorted set: offset -> of the deletion)
-- ARGV: header of log.lua; action (1 delete, 2 time out, 3 ban, 4 lift), participant, offset, seconds
-- Returns: {offset of the event, until in ms} or {'NOTHING'} where there is nothing to change;
--       or {'UNANNOUNCED', token}

local log, info, settings, bans, deleted = unpack(KEYS)
local action, participant = tonumber(ARGV[HEADER + 1]), ARGV[HEADER + 2]
local target, seconds = ARGV[HEADER + 3], tonumber(ARGV[HEADER + 4])
local now = now_us()

-- The kind of an event is the second byte of its array.
local function deletable(entry)
    local kind = string.byte(entry[2][2], 2)
    return kind == 1 or kind == 4
end

local function possible(last)
    if action == 1 then
        if redis.call('ZSCORE', deleted, target) or tonumber(target) > last then
            return false
        end
        local found = redis.call('XRANGE', log, target .. '-0', target .. '-0')
        if #found == 0 then
            -- Only the archive knows whether there was something there.
            return tonumber(target) <= tonumber(redis.call('HGET', info, 'trimmed') or '-1')
        end
        return deletable(found[1])
    end
    return action ~= 4 or redis.call('ZSCORE', bans, participant)
end

local _, last = position(log, info)
if not possible(last) then
    return { 'NOTHING' }
end
local again = unannounced(info)
if again then
    return again
end

local until_ms = 0
if action == 1 then
    last = append(log, last, cmsgpack.pack({ 5, tonumber(target) }))
    redis.call('ZADD', deleted, whole(last), target)
    -- Forget deletions that MongoDB knows of messages that are only there.
    local facts = redis.call('HMGET', info, 'archived', 'trimmed')
    if facts[1] and facts[2] then
        for _, old in ipairs(redis.call('ZRANGEBYSCORE', deleted, '-inf', facts[1], 'LIMIT', 0, 100)) do
            if tonumber(old) <= tonumber(facts[2]) then
                redis.call('ZREM', deleted, old)
            end
        end
    end
else
    if action == 4 then
        redis.call('ZREM', bans, participant)
    elseif action == 3 then
        redis.call('ZADD', bans, 'inf', participant)
    else
        until_ms = math.floor(now / 1000) + seconds * 1000
        redis.call('ZADD', bans, whole(until_ms * 1000), participant)
    end
    last = append(log, last, cmsgpack.pack({ 6, participant, action, until_ms }))
end
settle(log, info, last)
expire(KEYS, ARGV[5])
return { whole(last), whole(until_ms) }
