-- In front of every script: the clock of invalidations, and versions of tags.
--
-- The clock is a hash {epoch, n}: n counts invalidations, the epoch is made with the hash. A version is 'epoch:n:nonce',
-- n being where the clock stood when the version was made. This server evicts: whatever of this is gone makes what was
-- built on it invalid, never valid again, since a new epoch or nonce is like none before it.

local function whole(number)
    return string.format('%.0f', number)
end

local function clock(key, nonce)
    local found = redis.call('HMGET', key, 'epoch', 'n')
    if not found[1] then
        redis.call('HSET', key, 'epoch', nonce, 'n', '0')
        return nonce, 0
    end
    return found[1], tonumber(found[2])
end

local function parsed(version)
    local epoch, n = string.match(version or '', '^([^:]*):(%d+)')
    return epoch or '', tonumber(n or '0')
end
