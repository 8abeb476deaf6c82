-- How long somebody is still backed off.
--
-- KEYS: standing (hash: see offend.lua)
-- Returns: ms from now, 0 when they are not

local now = now_us()
return math.max(0, math.ceil((backed_off_until(KEYS[1], now) - now) / 1000))
