-- How long somebody is still backed off.
--
-- KEYS: standing (hash: see offend.lua)
-- Returns: ms from now, 0 when they are not

return math.max(0, math.ceil((tonumber(redis.call('HGET', KEYS[1], 'until') or '0') - now_us()) / 1000))
