-- Let a connection into a room, or say why not.
--
-- KEYS: those of seats.lua; visitors (HyperLogLog), settings (hash), bans (sorted set), approved (set),
--       waiting (sorted set: participant -> µs of arrival), lapses (sorted set: participant -> µs when a knock lapses),
--       knocks (hash: participant -> name), rejected (sorted set: participant -> µs until when)
-- ARGV: those of seats.lua; capacity, ms after which a knock lapses, connection, participant, name, role,
--       '1' when it counts as a viewer, '1' when it moderates
-- Returns: {outcome, value}
--       outcome 0 seated (value: viewers), 1 waits (value: position from 1), 2 banned (value: ms left, 0 for good),
--       3 rejected (value: ms until it may knock again), 4 the room is full, 5 waits and was not waiting before,
--       6 the room was deleted

local visitors, settings, bans, approved = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local waiting, lapses, knocks, rejected = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local connection, participant, name, role = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local watches, moderates = ARGV[10] == '1', ARGV[11] == '1'
local now = now_us()

local function stop_waiting(who)
    redis.call('ZREM', waiting, who)
    redis.call('ZREM', lapses, who)
    redis.call('HDEL', knocks, who)
end

local function left_of(until_us)
    return math.ceil((tonumber(until_us) - now) / 1000)
end

-- Nil when the participant may come in.
local function obstacle()
    if redis.call('HGET', settings, 'removed') then
        return { 6, 0 }
    end
    if moderates then
        return nil
    end
    local banned = redis.call('ZSCORE', bans, participant)
    -- A time-out silences; only a ban keeps somebody out.
    if banned == 'inf' then
        return { 2, 0 }
    end
    local wanted = redis.call('HMGET', settings, 'waiting_room', 'auto_accept')
    if wanted[1] ~= '1' or redis.call('SISMEMBER', approved, participant) == 1 then
        return nil
    end
    if wanted[2] == '1' then
        redis.call('SADD', approved, participant)
        return nil
    end
    local refused = redis.call('ZSCORE', rejected, participant)
    if refused and tonumber(refused) > now then
        return { 3, left_of(refused) }
    end
    for _, who in ipairs(redis.call('ZRANGEBYSCORE', lapses, '-inf', whole(now))) do
        stop_waiting(who)
    end
    local new = redis.call('ZADD', waiting, 'NX', whole(now), participant) == 1
    redis.call('ZADD', lapses, whole(now + tonumber(ARGV[5]) * 1000), participant)
    redis.call('HSET', knocks, participant, name)
    return { new and 5 or 1, redis.call('ZRANK', waiting, participant) + 1 }
end

vacate_expired(now)
expire(KEYS, ARGV[3])
local refusal = obstacle()
if refusal then
    return refusal
end
stop_waiting(participant)
local key = watches and VIEWERS or HOSTS
if watches and redis.call('HLEN', VIEWERS) >= tonumber(ARGV[4]) and redis.call('HEXISTS', VIEWERS, participant) == 0 then
    return { 4, 0 }
end
take_seat(key, participant, name, role, connection)
renew(now)
if watches then
    redis.call('PFADD', visitors, participant)
end
return { 0, (count()) }
