-- Change settings of a room, and say so in its log.
--
-- KEYS: log (stream), info (hash), settings (hash), bans (sorted set)
-- ARGV: header of log.lua; the offset of the change that this one follows, or '' for any; then field, value of what
--       changes. Fields: title, category, slow_mode_s, waiting_room, auto_accept ('0' | '1'), terms (JSON array)
-- Returns: {offset of the event}, {'NOTHING'} where nothing is new, {'CHANGED'} where another change came first;
--       or {'UNANNOUNCED', token}

local log, info, settings = KEYS[1], KEYS[2], KEYS[3]
local expected = ARGV[HEADER + 1]
if expected ~= '' and (redis.call('HGET', settings, 'offset') or '0') ~= expected then
    return { 'CHANGED' }
end
local changed = {}
for i = HEADER + 2, #ARGV, 2 do
    if redis.call('HGET', settings, ARGV[i]) ~= ARGV[i + 1] then
        changed[#changed + 1] = ARGV[i]
        changed[#changed + 1] = ARGV[i + 1]
    end
end
if #changed == 0 then
    return { 'NOTHING' }
end
local again = unannounced(info)
if again then
    return again
end
redis.call('HSET', settings, unpack(changed))
for i = 1, #changed, 2 do
    if changed[i] == 'terms' then
        -- Random: a room whose state was lost must not use a number again that some process still knows.
        redis.call('HSET', settings, 'terms_version', ARGV[1])
    end
end
local now = redis.call('HMGET', settings, 'title', 'category', 'slow_mode_s', 'waiting_room')
local _, last = position(log, info)
last = append(
    log,
    last,
    cmsgpack.pack({ 7, now[1] or '', now[2] or '', tonumber(now[3] or '0'), (now[4] or '0') == '1' })
)
redis.call('HSET', settings, 'offset', whole(last))
settle(log, info, last)
expire(KEYS, ARGV[5])
return { whole(last) }
