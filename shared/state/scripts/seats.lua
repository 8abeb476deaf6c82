-- In front of every script that works on who is in a room.
--
-- The first keys are always the same: viewers, hosts (hashes: participant -> {name, role, {connection -> instance}}),
-- leases (sorted set: instance -> µs when it ends), held (hash: instance -> connections), info (hash).
-- The first arguments are always: instance, lease in ms, lifetime of the keys in s.

local VIEWERS, HOSTS, LEASES, HELD, INFO = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- Take out the connections of instances in `gone` (a set).
local function vacate(gone)
    for _, key in ipairs({ VIEWERS, HOSTS }) do
        local all = redis.call('HGETALL', key)
        for i = 1, #all, 2 do
            local seat = cmsgpack.unpack(all[i + 1])
            local left, changed = false, false
            for connection, instance in pairs(seat[3]) do
                if gone[instance] then
                    seat[3][connection] = nil
                    changed = true
                else
                    left = true
                end
            end
            if not left then
                redis.call('HDEL', key, all[i])
            elseif changed then
                redis.call('HSET', key, all[i], cmsgpack.pack(seat))
            end
        end
    end
    for instance in pairs(gone) do
        redis.call('HDEL', HELD, instance)
        redis.call('ZREM', LEASES, instance)
    end
end

-- Take out the connections of processes that have not renewed their lease. Rare, so it may look at all of them.
local function vacate_expired(now)
    shorten(LEASES, now + tonumber(ARGV[2]) * 1000)
    local expired = redis.call('ZRANGEBYSCORE', LEASES, '-inf', whole(now))
    if #expired > 0 then
        local gone = {}
        for _, instance in ipairs(expired) do
            gone[instance] = true
        end
        vacate(gone)
    end
end

local function renew(now)
    redis.call('ZADD', LEASES, whole(now + tonumber(ARGV[2]) * 1000), ARGV[1])
end

local function seat_of(key, participant)
    local packed = redis.call('HGET', key, participant)
    return packed and cmsgpack.unpack(packed)
end

-- Seat a connection; a participant with several connections has one seat.
local function take_seat(key, participant, name, role, connection)
    local seat = seat_of(key, participant) or { name, role, {} }
    if not seat[3][connection] then
        redis.call('HINCRBY', HELD, ARGV[1], 1)
    end
    seat[1], seat[2] = name, role
    seat[3][connection] = ARGV[1]
    redis.call('HSET', key, participant, cmsgpack.pack(seat))
end

local function give_up_seat(participant, connection)
    for _, key in ipairs({ VIEWERS, HOSTS }) do
        local seat = seat_of(key, participant)
        if seat and seat[3][connection] then
            seat[3][connection] = nil
            redis.call('HINCRBY', HELD, ARGV[1], -1)
            if next(seat[3]) then
                redis.call('HSET', key, participant, cmsgpack.pack(seat))
            else
                redis.call('HDEL', key, participant)
            end
        end
    end
end

-- How many viewers there are, and the most that there have been.
local function count()
    local viewers = redis.call('HLEN', VIEWERS)
    local peak = tonumber(redis.call('HGET', INFO, 'peak') or '0')
    if viewers > peak then
        peak = viewers
        redis.call('HSET', INFO, 'peak', peak)
    end
    return viewers, peak
end

