-- Holds requests of a backend in which no server takes any, until one does. Whoever may not
-- wait any longer, or at all, has txn.asleep set: the rule behind this one answers.
--
-- All threads share this state, so that requests are counted together: it is loaded once.

-- How often a held request looks, at first and at the least, and how long one may not have looked
-- that still counts, in milliseconds. One whose client has gone may end without a word.
local step, longest, lost = 50, 300, 1000

-- By service, or group: the requests that are held, each with the time at which it last looked, and how
-- many they are, of which all is the sum. By backend: the second in which was last told that
-- there are some.
local held, count, told = {}, {}, {}
local all = 0

-- crowd is how many may be held for all services together; swept is the second in which was
-- last looked who of them has ended.
local crowd, swept

local gsub = string.gsub

local function now()
    local t = core.now()
    return t.sec * 1000 + t.usec // 1000
end

-- tell says that requests wait for a backend. Whoever listens may be away: it is said again
-- every second.
local function tell(name, address)
    local second = core.now().sec
    if told[name] == second then
        return
    end
    told[name] = second
    local socket = core.tcp()
    socket:settimeout(1)
    if socket:connect(address) then
        socket:send(name .. "\n")
    end
    socket:close()
end

local function enter(service, request)
    if held[service] == nil then
        held[service], count[service] = {}, 0
    end
    if held[service][request] == nil then
        count[service], all = count[service] + 1, all + 1
    end
    held[service][request] = now()
end

local function leave(service, request)
    local list = held[service]
    if list == nil or list[request] == nil then
        return
    end
    list[request] = nil
    count[service], all = count[service] - 1, all - 1
    if count[service] == 0 then
        held[service], count[service] = nil, nil
    end
end

-- forget drops requests that have ended without a word.
local function forget(service)
    local limit = now() - lost
    for request, at in pairs(held[service]) do
        if at < limit then
            leave(service, request)
        end
    end
end

-- full reports whether as many are held as may be for one service, or for all.
local function full(service, most, together)
    if (count[service] or 0) >= most then
        forget(service)
    end
    if (count[service] or 0) >= most then
        return true
    end
    if crowd == nil then
        -- Who is held has a connection that others cannot have.
        crowd = math.max(1, math.min(together, core.get_info().Maxconn // 4))
    end
    local second = core.now().sec
    if all >= crowd and swept ~= second then
        swept = second
        for other in pairs(held) do
            forget(other)
        end
    end
    return all >= crowd
end

-- serves reports whether a backend has a server that takes requests. In a worker of before a
-- reload it gets one by the controller alone, under a name of its own, and is disabled, so
-- that nobody else could say that the server is ready, or be told how many there are.
local function serves(name, given)
    local backend = core.backends[name]
    if backend == nil then
        return false
    end
    if backend:get_srv_act() + backend:get_srv_bck() > 0 then
        return true
    end
    local ready = false
    for server, it in pairs(backend.servers) do
        if server:sub(1, #given) == given then
            it:set_ready()
            ready = true
        end
    end
    return ready
end

-- pause is how long a held request waits until it looks again. The more are held, the less often
-- each looks, and no two in step, so that all of them together take no time from others.
local function pause()
    local most = math.max(step, math.min(all // 3, longest))
    return most - math.random(0, most // 2)
end

local function wait(txn, address, most, together, seconds, given)
    local name, request = txn.f:be_name(), {}
    -- The backends of a service differ in their ports and indexes. Its name is not said here,
    -- or a service could not have the rules of another that does the same.
    local service = gsub(name, "%-be%d+_%d+s?$", "")
    if serves(name, given) then
        return
    end
    if full(service, tonumber(most), tonumber(together)) then
        txn:set_var("txn.asleep", true)
        return
    end
    enter(service, request)
    local last = now() + tonumber(seconds) * 1000
    while not serves(name, given) do
        if now() >= last then
            txn:set_var("txn.asleep", true)
            break
        end
        tell(name, address)
        core.msleep(pause())
        enter(service, request)
    end
    leave(service, request)
    if count[service] == nil then
        told[name] = nil
    end
end

core.register_action("waggle_hold", { "http-req" }, wait, 5)
