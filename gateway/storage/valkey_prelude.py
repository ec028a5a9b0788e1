"""What every script inside Valkey begins with: its keys, the epoch, counters in whole numbers, the rolling minute.

Five keys under one hash tag: the epoch; counters (name → what is posted, pending, the rolling minute's
TAT, the version of what is posted); holds (request → its lines); entries; expiry. The field '' of each
bears the epoch's token, so that whatever is lost, all of it counts as lost. Whole numbers stay below 2^53,
where Lua counts exactly; what is posted is kept as text. To add a status: here, and in ``Epoch.ask`` where
it concerns every script.
"""

from typing import Final

EXACT_MAX: Final = 2**53 - 1  # the largest whole number of which every smaller one is exact in Lua
RATE_MAX: Final = 2**52 - 1  # of a minute: it is doubled on the way

OK, LOST, WAIT, MISS, BEHIND, PAST = range(6)
"""Statuses of an answer: done; the epoch is another; not open yet; counters nobody has told; budgets newer
than those known; a number past EXACT_MAX (nothing was changed)."""

GRANTED, EXHAUSTED, STALE, GONE = range(4)
"""Of one wish."""

PRELUDE: Final = """
local call, EPOCH, COUNTERS, HOLDS, ENTRIES, EXPIRY = redis.call, KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local OK, LOST, WAIT, MISS, BEHIND, PAST = 0, 1, 2, 3, 4, 5
local MOST, MINUTE = 9007199254740991, 60000000
local function text(number) return string.format('%.0f', number) end
local function answer(...) return cmsgpack.pack({...}) end

-- Changes whenever a server starts, or becomes the one that is written to: then memory may be missing.
local function life() return string.match(call('INFO', 'replication'), 'master_replid:(%x+)') end

local function is_whole(token)
  return token and call('HGET', EPOCH, 'life') == life() and call('HGET', COUNTERS, '') == token
    and call('HGET', HOLDS, '') == token and call('HGET', ENTRIES, '') == token
    and call('ZSCORE', EXPIRY, '') and true
end
local function is_lost(token) return call('HGET', EPOCH, 'token') ~= token or not is_whole(token) end
local function clock()
  local now = call('TIME')
  return now[1] * 1000000 + now[2]
end
local function wait() return math.max(0, tonumber(call('HGET', EPOCH, 'opens_us')) - clock()) end

local function state_of(packed)
  if not packed then return {posted = '0', pending = 0, tat = 0, version = -1} end
  local one = cmsgpack.unpack(packed)
  return {posted = one[1], pending = one[2], tat = one[3], version = one[4]}
end
local states = {}
local function load(names)
  for first = 1, #names, 500 do
    local last = math.min(first + 499, #names)
    local found = call('HMGET', COUNTERS, unpack(names, first, last))
    for at = first, last do states[names[at]] = state_of(found[at - first + 1]) end
  end
end
local function state(name)
  if not states[name] then load({name}) end
  return states[name]
end
-- One call for many: a call costs more than what it does.
local function put(command, key, pairs_)
  for first = 1, #pairs_, 1000 do call(command, key, unpack(pairs_, first, math.min(first + 999, #pairs_))) end
end
local function save()
  local changed = {}
  for name, one in pairs(states) do
    if one.changed then
      changed[#changed + 1] = name
      changed[#changed + 1] = cmsgpack.pack({one.posted, one.pending, one.tat, one.version})
    end
  end
  put('HSET', COUNTERS, changed)
end

-- ceil(amount * MINUTE / rate), exact: gcra.cost_us.
local function cost(amount, rate)
  local whole = math.floor(amount / rate)
  local rest = amount - whole * rate
  if rest * MINUTE <= MOST then return whole * MINUTE + math.ceil(rest * MINUTE / rate) end
  local quotient, left = 0, 0
  for bit = 25, 0, -1 do
    quotient, left = 2 * quotient, 2 * left
    if left >= rate then quotient, left = quotient + 1, left - rate end
    if math.floor(MINUTE / 2 ^ bit) % 2 == 1 then
      left = left + rest
      if left >= rate then quotient, left = quotient + 1, left - rate end
    end
  end
  if left > 0 then quotient = quotient + 1 end
  return whole * MINUTE + quotient
end

local function remove(ids)
  put('HDEL', HOLDS, ids)
  put('HDEL', ENTRIES, ids)
  put('ZREM', EXPIRY, ids)
end

local past = false
local function take(one, amount, rate, now)
  one.changed = true
  if rate > 0 then one.tat = math.max(one.tat, now) + cost(amount, rate)
  else one.pending = one.pending + amount end
  past = past or one.tat > MOST or one.pending > MOST
end
"""
