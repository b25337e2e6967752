-- Holds requests of a backend in which no server takes any, until one does. Whoever may not
-- wait any longer, or at all, has txn.asleep set: the rule behind this one answers.
--
-- All threads share this state, so that requests are counted together: it is loaded once.

-- How often a held request looks, and how long one may not have looked that still counts, in
-- milliseconds. One whose client has gone may end without a word.
local step, lost = 50, 1000

-- By backend: the requests that are held, each with the time at which it last looked, how
-- many they are, and the second in which was last told that there are some.
local held, count, told = {}, {}, {}

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

-- forget drops requests that have ended without a word.
local function forget(name)
    local limit = now() - lost
    for request, at in pairs(held[name]) do
        if at < limit then
            held[name][request] = nil
            count[name] = count[name] - 1
        end
    end
end

-- admit counts a request in, unless there are too many.
local function admit(name, request, most)
    if held[name] == nil then
        held[name], count[name] = {}, 0
    end
    if count[name] >= most then
        forget(name)
    end
    if count[name] >= most then
        return false
    end
    held[name][request] = now()
    count[name] = count[name] + 1
    return true
end

local function look(name, request)
    if held[name][request] == nil then
        count[name] = count[name] + 1
    end
    held[name][request] = now()
end

local function leave(name, request)
    if held[name][request] ~= nil then
        held[name][request] = nil
        count[name] = count[name] - 1
    end
    if count[name] == 0 then
        held[name], count[name], told[name] = nil, nil, nil
    end
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

local function wait(txn, address, most, seconds, given)
    local name, request = txn.f:be_name(), {}
    if serves(name, given) then
        return
    end
    if not admit(name, request, tonumber(most)) then
        txn:set_var("txn.asleep", true)
        return
    end
    local last = now() + tonumber(seconds) * 1000
    while not serves(name, given) do
        if now() >= last then
            txn:set_var("txn.asleep", true)
            break
        end
        tell(name, address)
        core.msleep(step)
        look(name, request)
    end
    leave(name, request)
end

core.register_action("waggle_hold", { "http-req" }, wait, 4)
