-- Choose the SFU worker that a room's stream goes to: the one that has it, or the less loaded of two random ones.
--
-- KEYS: leases (sorted set), workers (hash: worker -> JSON record), placed (hash: worker -> sessions since its report),
--       origin (string: the worker of this room)
-- ARGV: two random numbers in [0, 1), lifetime of the room's choice in s
-- Returns: the worker's record, or nothing when no worker can take it

local leases, workers, placed, origin = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local alive = redis.call('ZRANGEBYSCORE', leases, whole(now_us()), '+inf')

-- Packets per second that one more stream is taken for until its worker reports the real figure.
local ASSUMED_PPS = 500

local eligible = {}
local current = redis.call('GET', origin)
for _, id in ipairs(alive) do
    local record = redis.call('HGET', workers, id)
    if record then
        local worker = cjson.decode(record)
        if not worker.draining then
            if id == current then
                redis.call('EXPIRE', origin, ARGV[3])
                return record
            end
            local waiting = tonumber(redis.call('HGET', placed, id) or '0')
            local streams = worker.publishers + waiting
            local load = math.max(worker.load_pps + waiting * ASSUMED_PPS, streams * ASSUMED_PPS) / worker.capacity_pps
            if load < 1 then
                eligible[#eligible + 1] = { id = id, record = record, load = load }
            end
        end
    end
end
if #eligible == 0 then
    return false
end
local first = 1 + math.floor(tonumber(ARGV[1]) * #eligible)
local choice = eligible[first]
if #eligible > 1 then
    -- The second is drawn from the others, so that with two workers both are compared.
    local second = 1 + (first + math.floor(tonumber(ARGV[2]) * (#eligible - 1))) % #eligible
    if eligible[second].load < choice.load then
        choice = eligible[second]
    end
end
redis.call('SET', origin, choice.id, 'EX', ARGV[3])
redis.call('HINCRBY', placed, choice.id, 1)
return choice.record
