-- In front of every script: time and numbers.

-- The server's time in µs.
local function now_us()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Until when (µs) somebody is backed off; 0 when they are not. A standing (hash, see offend.lua) that was written later
-- than now was written before the server's clock was set back, and is forgiven.
local function backed_off_until(standing, now)
    local facts = redis.call('HMGET', standing, 'until', 'at')
    return tonumber(facts[2] or '0') <= now and tonumber(facts[1] or '0') or 0
end

-- An integer as text; Lua's own conversion would round it to 14 digits.
local function whole(number)
    return string.format('%.0f', number)
end

-- When a budget is full again (µs), of what is kept of it; now where it is full. No budget is emptier than empty: what says
-- so was written before the server's clock was set back, and nobody is to wait for as long as that was.
local function full_again(kept, now, window)
    local due = math.max(tonumber(kept or '0'), now)
    return due <= now + window and due or now
end

-- Let no lease end later than `longest` (µs), of those in a sorted set by when they end. What does was written before the
-- server's clock was set back: whoever is still there renews it, nobody else is to last for as long.
local function shorten(leases, longest)
    for _, late in ipairs(redis.call('ZRANGEBYSCORE', leases, '(' .. whole(longest), '+inf')) do
        redis.call('ZADD', leases, whole(longest), late)
    end
end

local function expire(keys, seconds)
    for _, key in ipairs(keys) do
        redis.call('EXPIRE', key, seconds)
    end
end

