-- Checks a password against a hash that htpasswd makes by default ($apr1$), which crypt(3)
-- does not know. It takes about a millisecond. The hashes, by list and name, stand above.
local letters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

-- hashed is the last part of the hash of a password.
local function hashed(md5, password, salt)
  local inner = md5(password .. salt .. password)
  local parts = {password, "$apr1$", salt}
  for left = #password, 1, -16 do
    parts[#parts + 1] = inner:sub(1, math.min(left, 16))
  end
  local bits = #password
  while bits > 0 do
    parts[#parts + 1] = bits & 1 == 1 and "\0" or password:sub(1, 1)
    bits = bits >> 1
  end
  local sum = md5(table.concat(parts))
  for round = 0, 999 do
    local odd = round & 1 == 1
    sum = md5((odd and password or sum) .. (round % 3 ~= 0 and salt or "") .. (round % 7 ~= 0 and password or "") .. (odd and sum or password))
  end
  local code = {}
  local function write(value, count)
    for _ = 1, count do
      code[#code + 1] = letters:sub((value & 63) + 1, (value & 63) + 1)
      value = value >> 6
    end
  end
  local bytes = {sum:byte(1, 16)}
  for _, at in ipairs({{1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 16}, {5, 11, 6}}) do
    write(bytes[at[1]] << 16 | bytes[at[2]] << 8 | bytes[at[3]], 4)
  end
  write(bytes[12], 2)
  return table.concat(code)
end

core.register_fetches("waggle_apr1", function(txn, list)
  local name, password = txn.f:http_auth_user(), txn.f:http_auth_pass()
  local hash = users[list] and name and users[list][name]
  -- The time that a check takes grows with the length of the password.
  if not hash or not password or #password > 128 then
    return false
  end
  local salt, want = hash:match("^%$apr1%$([^$]+)%$(.+)$")
  return hashed(function(text) return txn.c:digest(text, "md5") end, password, salt) == want
end)
