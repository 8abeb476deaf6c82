-- Renew a process's lease on its seats in a room, take back the seats of those who left, and learn how many there are.
--
-- KEYS: those of seats.lua; visitors (HyperLogLog), waiting (sorted set), lapses (sorted set), knocks (hash),
--       settings (hash), bans (sorted set), approved (set)
-- ARGV: those of seats.lua; '' or '1' when the seats that follow are all that the process has,
--       how many connections it has after those who leave, then
--       without '1': connection, participant of each that left
--       with '1': connection, participant, name, role, '1' when it counts as a viewer, of each that is there
-- Returns: {'UNKNOWN'} when the process must say again which seats it has; else
--       viewers, peak, visitors ever, people waiting, messages, epoch or '', last offset, connections at all processes,
--       1 when the room was deleted

local visitors, waiting, lapses, knocks = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local now = now_us()
vacate_expired(now)
local anew, connections = ARGV[4] == '1', tonumber(ARGV[5])
if anew then
    vacate({ [ARGV[1]] = true })
    for i = 6, #ARGV, 5 do
        local key = ARGV[i + 4] == '1' and VIEWERS or HOSTS
        take_seat(key, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i])
    end
else
    for i = 6, #ARGV, 2 do
        give_up_seat(ARGV[i + 1], ARGV[i])
    end
    if tonumber(redis.call('HGET', HELD, ARGV[1]) or '0') ~= connections then
        return { 'UNKNOWN' }
    end
end
if connections > 0 then
    renew(now)
else
    redis.call('HDEL', HELD, ARGV[1])
    redis.call('ZREM', LEASES, ARGV[1])
end
for _, who in ipairs(redis.call('ZRANGEBYSCORE', lapses, '-inf', whole(now))) do
    redis.call('ZREM', waiting, who)
    redis.call('ZREM', lapses, who)
    redis.call('HDEL', knocks, who)
end
expire(KEYS, ARGV[3])
local viewers, peak = count()
local facts = redis.call('HMGET', INFO, 'messages', 'epoch', 'last')
local all = 0
for _, held in ipairs(redis.call('HVALS', HELD)) do
    all = all + tonumber(held)
end
return {
    viewers,
    peak,
    redis.call('PFCOUNT', visitors),
    redis.call('ZCARD', waiting),
    tonumber(facts[1] or '0'),
    facts[2] or '',
    facts[3] or '0',
    all,
    redis.call('HEXISTS', KEYS[10], 'removed'),
}
