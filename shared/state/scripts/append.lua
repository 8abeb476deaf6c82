-- Append what a process received in one tick to the log of a room.
--
-- KEYS: log (stream), info (hash), seen (sorted set), rates (hash)
-- ARGV: new epoch, history length, key lifetime in s, de-duplication window in µs,
--       then per message: sender, message id, messages per second allowed, event
-- Returns: per message {outcome, value}
--       outcome 0 appended (value: offset), 1 appended before (value: its offset), 2 too fast (value: wait in ms)

local log, info, seen, rates = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now = now_us()
local _, last = position(log, info, ARGV[1])
redis.call('ZREMRANGEBYSCORE', seen, '-inf', '(' .. whole(now - tonumber(ARGV[4])))

-- Token bucket that holds two seconds' worth, kept as "tokens:µs". Returns the wait in ms, 0 when the message may pass.
local function take(sender, rate)
    local tokens = 2 * rate
    local bucket = redis.call('HGET', rates, sender)
    if bucket then
        local left, at = string.match(bucket, '^([^:]+):(.+)$')
        tokens = math.min(tokens, tonumber(left) + (now - tonumber(at)) / 1000000 * rate)
    end
    if tokens < 1 then
        return math.ceil((1 - tokens) / rate * 1000)
    end
    redis.call('HSET', rates, sender, string.format('%.6f:', tokens - 1) .. whole(now))
    return 0
end

local results = {}
for i = 5, #ARGV, 4 do
    local member = ARGV[i] .. ':' .. ARGV[i + 1]
    local known = redis.call('ZSCORE', seen, member)
    if known then
        results[#results + 1] = { 1, whole(tonumber(known)) }
    else
        local wait = take(ARGV[i], tonumber(ARGV[i + 2]))
        if wait > 0 then
            results[#results + 1] = { 2, wait }
        else
            last = append(log, info, last, ARGV[2], ARGV[i + 3])
            redis.call('ZADD', seen, whole(last), member)
            results[#results + 1] = { 0, whole(last) }
        end
    end
end
expire(KEYS, ARGV[3])
return results
