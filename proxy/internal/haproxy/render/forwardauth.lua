-- Lets another service decide about a request. Whatever does not end in setting
-- txn.forward_auth to "in", an error of this script too, keeps the request out: the
-- rule behind this one sees to that.

-- How long the service may be silent, in milliseconds.
local timeout = 5000

-- What belongs to the client's connection or to its body is not passed on.
local dropped = {
    ["host"] = true, ["content-length"] = true, ["content-type"] = true, ["content-encoding"] = true,
    ["transfer-encoding"] = true, ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true,
    ["upgrade"] = true, ["te"] = true, ["trailer"] = true, ["expect"] = true, ["accept-encoding"] = true,
    ["range"] = true, ["http2-settings"] = true,
}

-- The answers that are the client's business, and the headers that make sense of them.
local passed = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true, [401] = true, [403] = true }
local explained = { "location", "set-cookie", "www-authenticate" }

-- each calls what with every value of a header; HAProxy counts them from 0.
local function each(headers, name, what)
    local values = headers and headers[name]
    if values == nil then
        return
    end
    local i = values[0] ~= nil and 0 or 1
    while values[i] ~= nil do
        what(values[i])
        i = i + 1
    end
end

local function question(txn)
    local out = {}
    local headers = txn.http:req_get_headers()
    for name in pairs(headers) do
        if not dropped[name] and name:sub(1, 12) ~= "x-forwarded-" then
            local list = {}
            each(headers, name, function(value) list[#list + 1] = value end)
            out[name] = list
        end
    end
    out["x-forwarded-method"] = { txn.f:method() }
    -- A truth is a number up to HAProxy 3.0, and later as it is set.
    local tls = txn.f:ssl_fc()
    out["x-forwarded-proto"] = { (tls == 1 or tls == true) and "https" or "http" }
    each(headers, "x-forwarded-proto", function(value) out["x-forwarded-proto"] = { value } end)
    each(headers, "host", function(value) out["x-forwarded-host"] = { value } end)
    out["x-forwarded-uri"] = { txn.f:pathq() }
    out["x-forwarded-for"] = { tostring(txn:get_var("txn.client")) }
    return out
end

local function forward_auth(txn, url, port, names)
    -- Without an address the client would look the name up itself, and nobody would judge it.
    local to = txn:get_var("txn.forward_to")
    if to == nil then
        return
    end
    to = tostring(to)
    if to:find(":", 1, true) then
        to = "[" .. to .. "]"
    end
    local answer = core.httpclient():get { url = url, headers = question(txn), timeout = timeout, dst = to .. ":" .. port }
    local status = answer and answer.status or 0
    if status >= 200 and status < 300 then
        for name in names:gmatch("[^,-][^,]*") do
            each(answer.headers, name, function(value) txn.http:req_add_header(name, value) end)
        end
        txn:set_var("txn.forward_auth", "in")
        return
    end
    if passed[status] then
        local reply = txn:reply()
        reply:set_status(status)
        for _, name in ipairs(explained) do
            each(answer.headers, name, function(value) reply:add_header(name, value) end)
        end
        txn:done(reply)
    end
end

core.register_action("waggle_forward_auth", { "http-req" }, forward_auth, 3)
