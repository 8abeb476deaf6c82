-- In front of every script: time and numbers.

-- The server's time in µs.
local function now_us()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- An integer as text; Lua's own conversion would round it to 14 digits.
local function whole(number)
    return string.format('%.0f', number)
end

local function expire(keys, seconds)
    for _, key in ipairs(keys) do
        redis.call('EXPIRE', key, seconds)
    end
end

