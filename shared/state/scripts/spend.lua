-- Spend one from a budget.
--
-- KEYS: budget
-- ARGV: how many per second, how many at once
-- Returns: ms to wait; 0 when it was spent

return spend(KEYS[1], now_us(), tonumber(ARGV[1]), tonumber(ARGV[2]))
