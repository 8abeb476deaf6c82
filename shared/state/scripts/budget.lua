-- In front of scripts that spend from a budget: the generic cell rate algorithm. What is kept is when the budget is full
-- again; nothing is kept of a full one.

-- Spend one of `rate` per second, of which `burst` may come at once. Returns the wait in ms, 0 when it was spent.
local function spend(key, now, rate, burst)
    local step = 1000000 / rate
    local window = step * burst
    local due = full_again(redis.call('GET', key), now, window)
    local over = due + step - now - window
    if over > 0 then
        return math.ceil(over / 1000)
    end
    redis.call('SET', key, whole(due + step), 'PX', math.ceil((due + step - now) / 1000) + 1)
    return 0
end

