-- Let an address open one more connection: its back-off, and a budget that many people behind one address share.
--
-- KEYS: joins (string: µs when the budget is full again), standing (hash: see offend.lua)
-- ARGV: joins per second, burst
-- Returns: {outcome, wait in ms}: 0 may pass, 2 too fast, 3 backed off

local now = now_us()
local until_us = backed_off_until(KEYS[2], now)
if until_us > now then
    return { 3, math.ceil((until_us - now) / 1000) }
end
local wait = spend(KEYS[1], now, tonumber(ARGV[1]), tonumber(ARGV[2]))
return { wait > 0 and 2 or 0, wait }
