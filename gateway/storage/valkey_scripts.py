"""What runs inside Valkey: each script is one decision over the whole of it, so nothing comes between.

A script gets one MessagePack array, and what is no text in further arguments; it answers with one array,
the status first. Keys and counters: valkey_prelude. To add a script: its text here, its call in
valkey_epoch or valkey_truth.
"""

from typing import Final

from gateway.storage.valkey_prelude import PRELUDE

# in: clock token, grace in us → out: token, how long until it opens
BEGIN: Final = (
    PRELUDE
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
    PRELUDE
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
    PRELUDE
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
local lines, entries, ends = {}, {}, {}
for id, at in pairs(changed) do
  lines[#lines + 1], lines[#lines + 2] = id, cmsgpack.pack(holds[id])
  if not wishes[at][2] then
    entries[#entries + 1], entries[#entries + 2] = id, ARGV[at + 1]
    ends[#ends + 1], ends[#ends + 2] = text(wishes[at][4]), id
  end
end
put('HSET', HOLDS, lines)
put('HSET', ENTRIES, entries)
put('ZADD', EXPIRY, ends)
return answer(OK, told, version)
"""
)

# in: token, fixes (request, whether it is void, what was used per counter's name) → out: nothing
FIX: Final = (
    PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
if is_lost(asked[1]) then return answer(LOST) end
local kept, gone, ids = {}, {}, {}
for at, fix in ipairs(asked[2]) do ids[at] = fix[1] end
local holds, names, seen = call('HMGET', HOLDS, unpack(ids)), {}, {}
for at, packed in ipairs(holds) do
  holds[at] = packed and cmsgpack.unpack(packed)
  for _, line in ipairs(holds[at] or {}) do
    if not seen[line[1]] then seen[line[1]], names[#names + 1] = true, line[1] end
  end
end
load(names)
for at, fix in ipairs(asked[2]) do
  local id, lines, used = fix[1], holds[at], {}
  if lines then
    for _, one in ipairs(fix[3]) do used[one[1]] = one[2] end
    for _, line in ipairs(lines) do
      local one, spent = state(line[1]), used[line[1]] or 0
      if line[3] > 0 then one.tat = one.tat - (cost(line[2], line[3]) - cost(spent, line[3]))
      else one.pending = one.pending + spent - line[2] end
      one.changed, line[2] = true, spent
      past = past or one.tat > MOST or one.pending > MOST
    end
    if fix[2] then gone[#gone + 1] = id
    else kept[#kept + 1], kept[#kept + 2] = id, cmsgpack.pack(lines) end
  end
end
if past then return answer(PAST) end
save()
put('HSET', HOLDS, kept)
remove(gone)
return answer(OK)
"""
)

# in: token, counters (name, posted as text, version), finished requests, the budgets' version
# An older version of a counter than the one known says nothing new.
POST: Final = (
    PRELUDE
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
end
save()
remove(asked[3])
if asked[4] > tonumber(call('HGET', EPOCH, 'version')) then call('HSET', EPOCH, 'version', text(asked[4])) end
return answer(OK)
"""
)

# in: token, holds (request, expires, start, lines as name, amount, per minute); entries as further arguments
# By force: what runs was granted once. A rolling minute is paid again as of the request's start.
REGISTER: Final = (
    PRELUDE
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
    PRELUDE
    + """
local asked = cmsgpack.unpack(ARGV[1])
if is_lost(asked[1]) then return answer(LOST) end
for _, id in ipairs(asked[3]) do call('ZADD', EXPIRY, 'XX', 'GT', text(asked[2]), id) end
return answer(OK)
"""
)

# in: token, names → out: posted, pending, TAT, version of each
READ: Final = (
    PRELUDE
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
    PRELUDE
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
    PRELUDE
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
    PRELUDE
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
    PRELUDE
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
