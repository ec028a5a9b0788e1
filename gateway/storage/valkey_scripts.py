"""What runs inside Valkey: each script is one decision over the whole of it, so nothing comes between.

Five keys under one hash tag: the epoch; counters (name → what is posted, pending, the rolling minute's
TAT, the version of what is posted); holds (request → its lines); entries; expiry. The field '' of each
bears the epoch's token, so that whatever is lost, all of it counts as lost. A script gets one MessagePack
array and answers with one. Whole numbers stay below 2^53, where Lua counts exactly; what is posted is
kept as text. To add a script: its text here, its call in valkey_epoch or valkey_truth.
"""

from typing import Final

EXACT_MAX: Final = 2**53 - 1  # the largest whole number of which every smaller one is exact in Lua
RATE_MAX: Final = 2**52 - 1  # of a minute: it is doubled on the way

OK, LOST, WAIT, MISS, BEHIND, PAST = range(6)
"""Statuses of an answer: done; the epoch is another; not open yet; counters nobody has told; budgets newer
than those known; a number past EXACT_MAX (nothing was changed)."""

GRANTED, EXHAUSTED, STALE, GONE = range(4)
"""Of one wish."""

_PRELUDE: Final = """
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
local function save()
  for name, one in pairs(states) do
    if one.changed then
      call('HSET', COUNTERS, name, cmsgpack.pack({one.posted, one.pending, one.tat, one.version}))
    end
  end
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

local past = false
local function take(one, amount, rate, now)
  one.changed = true
  if rate > 0 then one.tat = math.max(one.tat, now) + cost(amount, rate)
  else one.pending = one.pending + amount end
  past = past or one.tat > MOST or one.pending > MOST
end
"""

# in: clock token, grace in us → out: token, how long until it opens
BEGIN: Final = (
    _PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
local token = call('HGET', EPOCH, 'token')
if not is_whole(token) then
  token = asked[1]
  call('DEL', EPOCH, COUNTERS, HOLDS, ENTRIES, EXPIRY)
  call('HSET', EPOCH, 'token', token, 'life', life(), 'opens_us', text(clock() + asked[2]), 'version', '-1')
  for _, key in ipairs({COUNTERS, HOLDS, ENTRIES}) do call('HSET', key, '', token) end
  call('ZADD', EXPIRY, 'inf', '')
end
return answer(OK, token, wait())
"""
)

# in: token → out: how long until it opens, in us
LOOK: Final = (
    _PRELUDE
    + """
if is_lost(cmsgpack.unpack(ARGV[1])[1]) then return answer(LOST) end
return answer(OK, wait())
"""
)

# in: token, now, names of counters, wishes; entries as further arguments
# wish: request, whether it grows, version, expires, lines
# line: counter, amount, limit, counter that is carried from (0: none), its limit, the most of it,
#       per minute (0: no rate), burst in us, whether it is enforced
# out: per wish a status and, per line, posted, pending, TAT, posted of what is carried from, whether it is
#      full, the amount that was asked for; or names' positions (MISS), or a version (BEHIND)
ADMIT: Final = (
    _PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
if is_lost(asked[1]) then return answer(LOST) end
if wait() > 0 then return answer(WAIT, wait()) end
local now, names, wishes = asked[2], asked[3], asked[4]
local version = tonumber(call('HGET', EPOCH, 'version'))
local ids = {}
for at, wish in ipairs(wishes) do
  ids[at] = wish[1]
  if wish[3] > version then return answer(BEHIND, wish[3]) end
end
load(names)
local cold, seen = {}, {}
local function warm(at)
  if at > 0 and not seen[at] and states[names[at]].version < 0 then cold[#cold + 1] = at end
  seen[at] = true
end
for _, wish in ipairs(wishes) do
  for _, line in ipairs(wish[5]) do
    if line[7] == 0 then warm(line[1]) end
    warm(line[4])
  end
end
if #cold > 0 then return answer(MISS, cold) end

local packed, holds, changed = call('HMGET', HOLDS, unpack(ids)), {}, {}
for at, id in ipairs(ids) do holds[id] = packed[at] and cmsgpack.unpack(packed[at]) end

local function is_full(line, amount)
  local one = states[names[line[1]]]
  if line[7] > 0 then
    local price = cost(amount, line[7])
    return math.max(one.tat, now) + price - now > math.max(line[8], price)
  end
  local limit = line[3]
  if line[4] > 0 then
    local unspent = math.max(0, line[5] - tonumber(states[names[line[4]]].posted))
    limit = limit + math.min(line[6], unspent)
  end
  return tonumber(one.posted) + one.pending + math.max(1, amount) > math.min(limit, MOST)
end

local function decide(at, wish)
  local id, grows, lines = wish[1], wish[2], wish[5]
  local hold, held, wanted, full, status = holds[wish[1]], {}, {}, {}, 0
  if not grows and wish[3] < version then return {2, {}} end
  if grows and not hold then return {3, {}} end
  for _, line in ipairs(hold or {}) do held[line[1]] = line end
  local is_short = false
  for n, line in ipairs(lines) do
    local mine = held[names[line[1]]]
    if not hold then wanted[n] = line[2]
    elseif grows and mine and line[2] > mine[2] then wanted[n] = line[2] - mine[2] end
    full[n] = wanted[n] and is_full(line, wanted[n]) or false
    is_short = is_short or (full[n] and line[9])
  end
  if is_short then status = 1 else
    for n, line in ipairs(lines) do
      if wanted[n] then
        take(states[names[line[1]]], wanted[n], line[7], now)
        if hold then held[names[line[1]]][2] = line[2] end
      end
    end
    if not hold then
      hold = {}
      for n, line in ipairs(lines) do hold[n] = {names[line[1]], line[2], line[7]} end
      holds[id], changed[id] = hold, at
    elseif grows then changed[id] = at end
  end
  local told = {}
  for n, line in ipairs(lines) do
    local one = states[names[line[1]]]
    local before = line[4] > 0 and states[names[line[4]]].posted or '0'
    told[n] = {one.posted, one.pending, one.tat, before, full[n], wanted[n] or 0}
  end
  return {status, told}
end

local told = {}
for at, wish in ipairs(wishes) do told[at] = decide(at, wish) end
if past then return answer(PAST) end
save()
for id, at in pairs(changed) do
  call('HSET', HOLDS, id, cmsgpack.pack(holds[id]))
  if not wishes[at][2] then
    call('HSET', ENTRIES, id, ARGV[at + 1])
    call('ZADD', EXPIRY, text(wishes[at][4]), id)
  end
end
return answer(OK, told, version)
"""
)

# in: token, fixes (request, whether it is void, what was used per counter's name) → out: nothing
FIX: Final = (
    _PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
if is_lost(asked[1]) then return answer(LOST) end
local kept, gone = {}, {}
for _, fix in ipairs(asked[2]) do
  local id, packed = fix[1], call('HGET', HOLDS, fix[1])
  if packed then
    local lines, used = cmsgpack.unpack(packed), {}
    for _, one in ipairs(fix[3]) do used[one[1]] = one[2] end
    for _, line in ipairs(lines) do
      local one, spent = state(line[1]), used[line[1]] or 0
      if line[3] > 0 then one.tat = one.tat - (cost(line[2], line[3]) - cost(spent, line[3]))
      else one.pending = one.pending + spent - line[2] end
      one.changed, line[2] = true, spent
      past = past or one.tat > MOST or one.pending > MOST
    end
    if fix[2] then gone[#gone + 1] = id else kept[id] = cmsgpack.pack(lines) end
  end
end
if past then return answer(PAST) end
save()
for id, lines in pairs(kept) do call('HSET', HOLDS, id, lines) end
for _, id in ipairs(gone) do
  call('HDEL', HOLDS, id) call('HDEL', ENTRIES, id) call('ZREM', EXPIRY, id)
end
return answer(OK)
"""
)

# in: token, counters (name, posted as text, version), finished requests, the budgets' version
# An older version of a counter than the one known says nothing new.
POST: Final = (
    _PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
if is_lost(asked[1]) then return answer(LOST) end
local names = {}
for at, one in ipairs(asked[2]) do names[at] = one[1] end
load(names)
for _, told in ipairs(asked[2]) do
  local one = states[told[1]]
  if told[3] > one.version then one.posted, one.version, one.changed = told[2], told[3], true end
end
for _, id in ipairs(asked[3]) do
  local packed = call('HGET', HOLDS, id)
  for _, line in ipairs(packed and cmsgpack.unpack(packed) or {}) do
    local one = state(line[1])
    if line[3] == 0 then one.pending, one.changed = one.pending - line[2], true end
  end
  if packed then call('HDEL', HOLDS, id) call('HDEL', ENTRIES, id) call('ZREM', EXPIRY, id) end
end
save()
if asked[4] > tonumber(call('HGET', EPOCH, 'version')) then call('HSET', EPOCH, 'version', text(asked[4])) end
return answer(OK)
"""
)

# in: token, holds (request, expires, start, lines as name, amount, per minute); entries as further arguments
# By force: what runs was granted once. A rolling minute is paid again as of the request's start.
REGISTER: Final = (
    _PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
if is_lost(asked[1]) then return answer(LOST) end
for at, hold in ipairs(asked[2]) do
  if call('HEXISTS', HOLDS, hold[1]) == 0 then
    for _, line in ipairs(hold[4]) do take(state(line[1]), line[2], line[3], hold[3]) end
    call('HSET', HOLDS, hold[1], cmsgpack.pack(hold[4]))
    call('HSET', ENTRIES, hold[1], ARGV[at + 1])
    call('ZADD', EXPIRY, text(hold[2]), hold[1])
  end
end
save()
return answer(OK)
"""
)

# in: token, until when, requests → out: nothing
EXTEND: Final = (
    _PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
if is_lost(asked[1]) then return answer(LOST) end
for _, id in ipairs(asked[3]) do call('ZADD', EXPIRY, 'XX', 'GT', text(asked[2]), id) end
return answer(OK)
"""
)

# in: token, names → out: posted, pending, TAT, version of each
READ: Final = (
    _PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
if is_lost(asked[1]) then return answer(LOST) end
load(asked[2])
local told = {}
for at, name in ipairs(asked[2]) do
  local one = states[name]
  told[at] = {one.posted, one.pending, one.tat, one.version}
end
return answer(OK, told)
"""
)

# in: token → out: the name of every counter
NAMES: Final = (
    _PRELUDE
    + """
if is_lost(cmsgpack.unpack(ARGV[1])[1]) then return answer(LOST) end
local names = {}
for _, name in ipairs(call('HKEYS', COUNTERS)) do
  if name ~= '' then names[#names + 1] = name end
end
return answer(OK, names)
"""
)

# in: token, now, names → out: nothing; a counter that holds nothing is forgotten
FORGET: Final = (
    _PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
if is_lost(asked[1]) then return answer(LOST) end
load(asked[3])
for _, name in ipairs(asked[3]) do
  local one = states[name]
  if one.pending == 0 and one.tat <= asked[2] then call('HDEL', COUNTERS, name) end
end
return answer(OK)
"""
)

# in: token, now, how many → out, not packed: the status, then request and entry of each
EXPIRED: Final = (
    _PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
if is_lost(asked[1]) then return {answer(LOST)} end
local found = {answer(OK)}
for _, id in ipairs(call('ZRANGEBYSCORE', EXPIRY, '-inf', text(asked[2]), 'LIMIT', 0, asked[3])) do
  found[#found + 1] = id
  found[#found + 1] = call('HGET', ENTRIES, id) or ''
end
return found
"""
)

# in: token, requests → out: the names of the counters they hold something of
HELD: Final = (
    _PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
if is_lost(asked[1]) then return answer(LOST) end
local names, seen = {}, {}
for _, id in ipairs(asked[2]) do
  local packed = call('HGET', HOLDS, id)
  for _, line in ipairs(packed and cmsgpack.unpack(packed) or {}) do
    if line[3] == 0 and not seen[line[1]] then seen[line[1]], names[#names + 1] = true, line[1] end
  end
end
return answer(OK, names)
"""
)
