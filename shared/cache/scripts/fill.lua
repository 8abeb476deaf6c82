-- Keep what was loaded, unless something that it depends on was invalidated since the load began.
--
-- KEYS: clock, entry, lease, then the version of each tag
-- ARGV: nonce, token of the begin, lifetime of the entry in ms, of a version in s, body; then for each tag the version
--       at which it was read, or '' where it was read after the begin
-- Returns: the versions, separated by spaces, or '' when it was not kept

local epoch, n = clock(KEYS[1], ARGV[1])
local begun_epoch, begun = parsed(ARGV[2])
local kept = epoch == begun_epoch
local versions = {}
for i = 4, #KEYS do
    local version = redis.call('GET', KEYS[i])
    local read_at = ARGV[i + 2]
    local made_epoch, made = parsed(version)
    if made_epoch ~= epoch then
        -- Never asked for, or evicted: it may have been invalidated since, unless nothing was.
        version = epoch .. ':' .. whole(n) .. ':' .. ARGV[1]
        redis.call('SET', KEYS[i], version, 'EX', ARGV[4])
        kept = kept and read_at == '' and n == begun
    elseif read_at ~= '' then
        kept = kept and read_at == version
    else
        kept = kept and made <= begun
    end
    versions[#versions + 1] = version
end
if redis.call('GET', KEYS[3]) == ARGV[2] then
    redis.call('DEL', KEYS[3])
end
if not kept then
    return ''
end
local header = table.concat(versions, ' ')
redis.call('SET', KEYS[2], header .. '\n' .. ARGV[5], 'PX', ARGV[3])
return header
