-- Count a room's audience once in every slot of time, and gather what each process knows of the qualities they get.
--
-- KEYS: viewers (hash), info (hash), visitors (HyperLogLog), sampling (hash: slot, and instance -> MessagePack)
-- ARGV: length of a slot in s, lifetime of the keys in s, instance, its viewers by quality (MessagePack)
-- Returns: nothing where the slot has been counted; else slot, viewers, peak, visitors, messages, watched seconds, the slot
--       before, then what processes said in it

local viewers, info, visitors, sampling = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local length = tonumber(ARGV[1])
local slot = math.floor(now_us() / 1000000 / length)
local before = tonumber(redis.call('HGET', sampling, 'slot') or '0')
local answer = false
if before < slot then
    local watching = redis.call('HLEN', viewers)
    local watched = redis.call('HINCRBY', info, 'watch_s', watching * length)
    local facts = redis.call('HMGET', info, 'peak', 'messages')
    answer = {
        slot,
        watching,
        tonumber(facts[1] or '0'),
        redis.call('PFCOUNT', visitors),
        tonumber(facts[2] or '0'),
        watched,
        before,
    }
    local said = redis.call('HGETALL', sampling)
    for i = 1, #said, 2 do
        if said[i] ~= 'slot' then
            answer[#answer + 1] = said[i + 1]
        end
    end
    redis.call('DEL', sampling)
    redis.call('HSET', sampling, 'slot', whole(slot))
end
redis.call('HSET', sampling, ARGV[3], ARGV[4])
expire({ info, sampling }, ARGV[2])
return answer
