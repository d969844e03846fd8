#!lua name=interlock_@VERSION@

-- All that writes to a slot, and what makes another generation live. One call is atomic; its keys share one hash tag, so it runs on a cluster too.
-- Functions are named with the hash of this file: workers of two versions run side by side on one server.
-- KEYS[1] is the slot's meta hash. Numbers that must stay exact (offsets) are compared as the strings they came as.

local CHUNK = 1000 -- arguments that one unpack() puts on the stack

local function in_chunks(command, key, items)
  for first = 1, #items, CHUNK do
    local last = math.min(first + CHUNK - 1, #items)
    if key then
      redis.call(command, key, unpack(items, first, last))
    else
      redis.call(command, unpack(items, first, last))
    end
  end
end

local function slice(list, first, count)
  local items = {}
  for i = first, first + count - 1 do
    items[#items + 1] = list[i]
  end
  return items
end

-- Why a caller with that epoch may not write, or nil when it may.
local function refusal(meta, epoch)
  local stored = redis.call('HMGET', meta, 'epoch', 'owner')
  if not stored[1] then
    return { 'LOST', 'the slot is empty' }
  end
  if tonumber(stored[1]) > tonumber(epoch) then
    return { 'FENCED', stored[1], stored[2] }
  end
  if tonumber(stored[1]) < tonumber(epoch) then
    return { 'LOST', 'the slot is back at epoch ' .. stored[1] }
  end
  return nil
end

-- The epoch is never less than the server's clock, so it grows even when a flush forgot the one before.
-- A slot that is new keeps what it is made with.
local function take_over(keys, owner, made_with)
  local now = redis.call('TIME')
  local stored = tonumber(redis.call('HGET', keys[1], 'epoch') or '0')
  if stored == 0 then
    redis.call('HSET', keys[1], 'made_with', made_with)
  end
  local epoch = math.max(stored + 1, now[1] * 1000000 + now[2])
  redis.call('HSET', keys[1], 'epoch', string.format('%.0f', epoch), 'owner', owner)
  for _, field in ipairs({ 'revision', 'clock_us', 'outbox_seq', 'published_seq' }) do
    redis.call('HSETNX', keys[1], field, '0')
  end
  return { redis.call('HGETALL', keys[1]), redis.call('LRANGE', keys[2], 0, -1) }
end

-- KEYS: meta, outbox. ARGV: owner, made with. A sealed slot is given to nobody.
local function acquire(keys, args)
  local sealed = redis.call('HGET', keys[1], 'sealed')
  if sealed then
    return { 'SEALED', sealed }
  end
  return take_over(keys, args[1], args[2])
end

-- KEYS: meta, outbox. ARGV: token, made with. Whoever owned the slot is fenced, and none can acquire it until `unseal`.
local function seal(keys, args)
  redis.call('HSET', keys[1], 'sealed', args[1])
  return take_over(keys, args[1], args[2])
end

-- KEYS: meta. ARGV: token. A seal of another token stays.
local function unseal(keys, args)
  if redis.call('HGET', keys[1], 'sealed') ~= args[1] then
    return 0
  end
  return redis.call('HDEL', keys[1], 'sealed')
end

-- KEYS: lock. ARGV: token, milliseconds. The token of who holds it now.
local function take(keys, args)
  redis.call('SET', keys[1], args[1], 'NX', 'PX', args[2])
  return redis.call('GET', keys[1])
end

-- KEYS: lock. ARGV: token, milliseconds. A lock that was lost is not taken again.
local function renew(keys, args)
  if redis.call('GET', keys[1]) ~= args[1] then
    return 0
  end
  return redis.call('PEXPIRE', keys[1], args[2])
end

-- KEYS: lock. ARGV: token.
local function release(keys, args)
  if redis.call('GET', keys[1]) ~= args[1] then
    return 0
  end
  return redis.call('DEL', keys[1])
end

-- KEYS: generation, lock. ARGV: token, the generation that is live, the one that is to be.
-- Only while the lock is held: who finds it gone may break the seals of its holder, and no cut-over follows any more.
local function cut_over(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then
    return { 'LOST', 'the lock' }
  end
  local live = redis.call('GET', keys[1])
  if live and live ~= args[2] then
    return { 'LOST', live }
  end
  redis.call('SET', keys[1], args[3])
  redis.call('PUBLISH', keys[1], args[3])
  return { 'OK' }
end

-- KEYS: meta, outbox, indexes..., keys to set..., keys to delete...
-- ARGV: epoch, revision, clock_us, first outbox seq, channel, message,
--       count of advances, of outbox entries, of indexes, of keys to set,
--       (topic, start, end, last record or '')..., outbox entries..., (adds, removes, added ids..., removed ids...)..., values...
local function commit(keys, args)
  local meta = keys[1]
  local refused = refusal(meta, args[1])
  if refused then
    return refused
  end
  local stored = redis.call('HMGET', meta, 'revision', 'outbox_seq')
  if stored[1] ~= args[2] then
    return { 'LOST', 'the slot is at revision ' .. stored[1] .. ', its owner at ' .. args[2] }
  end
  local advances, entries, indexes, sets = tonumber(args[7]), tonumber(args[8]), tonumber(args[9]), tonumber(args[10])
  local last_seq = tonumber(stored[2])
  if entries > 0 and last_seq + 1 ~= tonumber(args[4]) then
    return { 'LOST', 'the outbox ends with ' .. stored[2] .. ', the commit goes on with ' .. args[4] }
  end
  local revision = string.format('%.0f', tonumber(stored[1]) + 1)
  local fields = {
    'revision', revision, 'clock_us', args[3], 'outbox_seq', string.format('%.0f', last_seq + entries),
  }
  local at = 11
  for _ = 1, advances do
    local field = 'next:' .. args[at]
    local next_offset = redis.call('HGET', meta, field)
    if next_offset and next_offset ~= args[at + 1] then
      return { 'LOST', args[at] .. ' is at ' .. next_offset .. ', the commit starts at ' .. args[at + 1] }
    end
    fields[#fields + 1] = field
    fields[#fields + 1] = args[at + 2]
    if args[at + 3] ~= '' then
      fields[#fields + 1] = 'tip:' .. args[at]
      fields[#fields + 1] = args[at + 3]
    end
    at = at + 4
  end

  -- Nothing is rolled back when a command fails, so those that could (a foreign key of another type) come first.
  in_chunks('RPUSH', keys[2], slice(args, at, entries))
  at = at + entries
  for index = 1, indexes do
    local adds, removes = tonumber(args[at]), tonumber(args[at + 1])
    in_chunks('SADD', keys[2 + index], slice(args, at + 2, adds))
    in_chunks('SREM', keys[2 + index], slice(args, at + 2 + adds, removes))
    at = at + 2 + adds + removes
  end
  local first_set = 2 + indexes
  local pairs_to_set = {}
  for set = 1, sets do
    pairs_to_set[2 * set - 1] = keys[first_set + set]
    pairs_to_set[2 * set] = args[at + set - 1]
  end
  in_chunks('MSET', nil, pairs_to_set)
  in_chunks('DEL', nil, slice(keys, first_set + sets + 1, #keys - first_set - sets))
  redis.call('HSET', meta, unpack(fields))
  if args[6] ~= '' then
    redis.call('PUBLISH', args[5], args[6])
  end
  return { 'OK', revision }
end

-- KEYS: meta, outbox. ARGV: epoch, revision, last seq that is on the log, channel, message, (hint, offset)...
-- A slot that was rolled back has to find again what it now knows nothing of: its hints stay where they were.
local function published(keys, args)
  local refused = refusal(keys[1], args[1])
  if refused then
    return refused
  end
  local stored = redis.call('HMGET', keys[1], 'revision', 'published_seq', 'outbox_seq')
  if stored[1] ~= args[2] then
    return { 'LOST', 'the slot is at revision ' .. stored[1] .. ', its owner at ' .. args[2] }
  end
  local from, upto = tonumber(stored[2]), math.min(tonumber(args[3]), tonumber(stored[3]))
  local fields = slice(args, 6, #args - 5)
  if upto > from then
    redis.call('LTRIM', keys[2], upto - from, -1)
    fields[#fields + 1] = 'published_seq'
    fields[#fields + 1] = string.format('%.0f', upto)
  end
  if #fields > 0 then
    redis.call('HSET', keys[1], unpack(fields))
    redis.call('PUBLISH', args[4], args[5])
  end
  return { 'OK' }
end

-- KEYS: meta, then keys of the slot: indexes first. ARGV: epoch, revision, count of indexes.
-- What they hold, if the slot is as its owner left it: what another owner wrote must not come into a commit of this one.
local function read(keys, args)
  local refused = refusal(keys[1], args[1])
  if refused then
    return refused
  end
  local revision = redis.call('HGET', keys[1], 'revision')
  if revision ~= args[2] then
    return { 'LOST', 'the slot is at revision ' .. revision .. ', its owner at ' .. args[2] }
  end
  local found = {}
  local first_state = 2 + tonumber(args[3])
  for index = 2, first_state - 1 do
    found[#found + 1] = redis.call('SMEMBERS', keys[index])
  end
  for first = first_state, #keys, CHUNK do
    local values = redis.call('MGET', unpack(keys, first, math.min(first + CHUNK - 1, #keys)))
    for each = 1, #values do
      found[#found + 1] = values[each]
    end
  end
  return { 'OK', found }
end

-- KEYS: permits. ARGV: permit, now_us, lease_us, how many may be out at once. Ended permits free themselves.
-- The server's own expiry only sweeps up after an epoch that nobody asks for any more.
local function probe(keys, args)
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', args[2])
  if redis.call('ZCARD', keys[1]) >= tonumber(args[4]) then
    return 0
  end
  redis.call('ZADD', keys[1], string.format('%.0f', tonumber(args[2]) + tonumber(args[3])), args[1])
  redis.call('PEXPIRE', keys[1], string.format('%.0f', math.ceil(tonumber(args[3]) / 1000) + 60000))
  return 1
end

-- KEYS: meta, outbox, then any keys of the slot... Where the slot is, and what these hold at that instant.
local function look(keys, args)
  local found = {}
  for at = 3, #keys do
    local kind = redis.call('TYPE', keys[at]).ok
    local held = false
    if kind == 'string' then
      held = redis.call('GET', keys[at])
    elseif kind == 'set' then
      held = redis.call('SMEMBERS', keys[at])
    end
    found[#found + 1] = { kind, held }
  end
  return { redis.call('HGETALL', keys[1]), redis.call('LRANGE', keys[2], 0, -1), found }
end

-- KEYS: meta, all other keys of the slot... ARGV: epoch and revision at which they were listed, '' when there was none.
-- Every state is written by a commit, so an unchanged revision proves that no key has been added since.
local function wipe(keys, args)
  local stored = redis.call('HMGET', keys[1], 'epoch', 'revision')
  if (stored[1] or '') ~= args[1] or (stored[2] or '') ~= args[2] then
    return 0
  end
  in_chunks('DEL', nil, keys)
  return 1
end

-- What takes next to no room, or makes some, is done on a full server too: an old generation can be dropped there.
local function on_a_full_server(name, callback)
  redis.register_function({ function_name = name, callback = callback, flags = { 'allow-oom' } })
end

redis.register_function('interlock_acquire_@VERSION@', acquire)
redis.register_function('interlock_commit_@VERSION@', commit)
on_a_full_server('interlock_published_@VERSION@', published)
redis.register_function('interlock_read_@VERSION@', read)
redis.register_function('interlock_probe_@VERSION@', probe)
redis.register_function('interlock_look_@VERSION@', look)
on_a_full_server('interlock_wipe_@VERSION@', wipe)
on_a_full_server('interlock_seal_@VERSION@', seal)
on_a_full_server('interlock_unseal_@VERSION@', unseal)
on_a_full_server('interlock_take_@VERSION@', take)
on_a_full_server('interlock_renew_@VERSION@', renew)
on_a_full_server('interlock_release_@VERSION@', release)
on_a_full_server('interlock_cut_over_@VERSION@', cut_over)
