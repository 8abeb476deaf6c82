-- Renew the lease of an SFU worker and those of the rooms that it serves, with what it reports of itself and of them.
--
-- KEYS: leases (sorted set: worker -> µs when its lease expires), workers (hash: worker -> record), drains (hash),
--       rooms (sorted set), orders (list), book, then a hash for each room
-- ARGV: time; worker, record, lease in ms, boot, capacity and base in packets/s, joins per second, '1' if draining; then
--       for each room: room, token, viewers, parent or '', packets/s of a viewer and of a pull
-- Returns: whether it was told to drain, its orders, then room and token for each that has another origin than it says

local leases, workers, drains, rooms, orders, book = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local worker, boot = ARGV[2], ARGV[5]
local now = fleet_now()
local expires = now + tonumber(ARGV[4]) * 1000
local FIRST, EACH = 10, 6

redis.call('ZADD', leases, whole(expires), worker)
redis.call('HSET', workers, worker, ARGV[3])
if redis.call('HGET', book, 'boot') ~= boot then
    -- What was placed on the process before this one is not with it.
    redis.call('DEL', book)
end
redis.call('HSET', book, 'boot', boot, 'capacity', ARGV[6], 'base', ARGV[7], 'joins_per_s', ARGV[8],
    'draining', ARGV[9], 'until', whole(expires))
settle_book(book, now)
redis.call('EXPIRE', book, 60)

shorten(leases, expires)
-- The long dead, a few at a time.
local forgotten = whole(now - 60000000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', forgotten, 'LIMIT', 0, 8)) do
    redis.call('ZREM', leases, gone)
    redis.call('HDEL', workers, gone)
    redis.call('HDEL', drains, gone)
end
redis.call('ZREMRANGEBYSCORE', rooms, '-inf', forgotten)

local superseded = {}
local at = FIRST
for index = 7, #KEYS do
    local room, name = KEYS[index], ARGV[at]
    local token, viewers, parent = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    local facts = redis.call('HMGET', room, 'token', 'worker', 'until', 'boot')
    local current = facts[1] or '0'
    local held = facts[2] and tonumber(facts[3] or '0') > now
    if parent ~= '' then
        redis.call('HSET', room, 'e:' .. worker, whole(expires) .. ' ' .. token .. ' ' .. viewers .. ' ' .. parent)
        redis.call('ZADD', rooms, 'GT', whole(expires), name)
    elseif (current == token and facts[2] == worker and facts[4] == boot)
        or (not held and tonumber(token) >= tonumber(current)) then
        -- Ours, or nobody's since Redis lost it: who holds it says so again.
        redis.call('HSET', room, 'worker', worker, 'boot', boot, 'token', token, 'viewers', viewers,
            'viewer_pps', ARGV[at + 4], 'pull_pps', ARGV[at + 5])
        local until_now = math.min(tonumber(facts[3] or '0'), now + LONGEST_LEASE_US)
        redis.call('HSET', room, 'until', whole(math.max(expires, held and until_now or 0)))
        redis.call('HDEL', room, 'e:' .. worker)
        prune_edges(room, now)
        redis.call('ZADD', rooms, 'GT', whole(expires), name)
        current = token
    end
    redis.call('EXPIRE', room, ROOM_LIFETIME_S)
    if current ~= token then
        superseded[#superseded + 1] = name
        superseded[#superseded + 1] = current
    end
    at = at + EACH
end

local told = redis.call('LRANGE', orders, 0, -1)
redis.call('DEL', orders)
return { redis.call('HEXISTS', drains, worker), told, unpack(superseded) }
