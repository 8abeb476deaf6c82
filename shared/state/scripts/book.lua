-- In front of every script that works on the fleet: workers' books, by which sessions are admitted.
--
-- The first argument is always the time in µs, or '0' for the server's own. A book (hash) has what the worker reported
-- last: capacity and base in packets/s, joins_per_s, boot, draining, until (µs); and what was placed since, by the second
-- of its placement: p<second>, packets/s, and j<second>, sessions.

-- A worker that does not report any more has what was placed on it for as long.
local RESERVED_S = 5
-- A session that was placed this long before a report is in it.
local REPORTED_AFTER_S = 2

-- No worker and no origin is held for longer without being renewed.
local LONGEST_LEASE_US = 60000000

local function fleet_now()
    local given = tonumber(ARGV[1])
    return given > 0 and given or now_us()
end

local function second_of(now)
    return math.floor(now / 1000000)
end

-- What stands against `ask` more on a worker; `joins` is false for a pull, which costs no handshake and goes on while its
-- source drains. `shared.placement.decision.judge` says the same.
local function judge(key, drained, boot, ask, share, now, joins)
    local flat, fields = redis.call('HGETALL', key), {}
    for at = 1, #flat, 2 do
        fields[flat[at]] = flat[at + 1]
    end
    if not fields.capacity or fields.boot ~= boot or tonumber(fields['until']) <= now then
        return 'gone'
    end
    if joins and (drained or fields.draining == '1') then
        return 'draining'
    end
    local second, booked = second_of(now), tonumber(fields.base)
    for at = second - RESERVED_S + 1, second do
        booked = booked + tonumber(fields['p' .. whole(at)] or '0')
    end
    if booked + ask > tonumber(fields.capacity) * share then
        return 'full'
    end
    if joins and tonumber(fields['j' .. whole(second)] or '0') >= tonumber(fields.joins_per_s) then
        return 'burst'
    end
    return 'admitted'
end

local function reserve(key, ask, now, joins)
    local second = whole(second_of(now))
    redis.call('HINCRBY', key, 'p' .. second, ask)
    if joins then
        redis.call('HINCRBY', key, 'j' .. second, 1)
    end
end

-- Forget what was placed before the report that has just come, or is too old to count.
local function settle_book(key, now)
    local reported = second_of(now) - REPORTED_AFTER_S
    for _, field in ipairs(redis.call('HKEYS', key)) do
        local second = tonumber(field:match('^[pj](%d+)$'))
        if second and second <= reported then
            redis.call('HDEL', key, field)
        end
    end
end

-- A room (hash) has its origin: worker, boot, until (µs), token, viewers, viewer_pps, pull_pps; and an e:<worker> for
-- each edge, '<until> <token> <viewers> <parent>'.
local ROOM_LIFETIME_S = 3600

-- Forget edges that have not reported for long enough; a room that is always on has had many.
local function prune_edges(room, now)
    if redis.call('HLEN', room) < 32 then
        return
    end
    local flat = redis.call('HGETALL', room)
    for at = 1, #flat, 2 do
        if flat[at]:sub(1, 2) == 'e:' and tonumber(flat[at + 1]:match('^%d+')) <= now then
            redis.call('HDEL', room, flat[at])
        end
    end
end

local function edge_until(room, worker)
    local edge = redis.call('HGET', room, 'e:' .. worker)
    return edge and tonumber(edge:match('^%d+')) or 0
end

