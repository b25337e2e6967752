-- The forms in which the paths of requests are compared; what they are is told where labels
-- are read, and a test compares the two. Only paths for which it makes a difference come
-- here.

local byte, char, concat, find, format, gsub, sub = string.byte, string.char, table.concat, string.find, string.format, string.gsub, string.sub

local function encoded(c) return format("%%%02X", byte(c)) end

-- decoded has visible ASCII characters decoded and all others encoded.
local function decoded(path)
	path = gsub(path, "[^!-Z%[%]^-~]", encoded)
	-- A "%" that encodes nothing stands for itself.
	path = gsub(path, "%%(%x?%x?)", function(digits)
		if #digits < 2 then
			return "%25" .. digits
		end
		local c = tonumber(digits, 16)
		-- "%", "/", "?", "#" and "\" would mean something else.
		if c <= 32 or c >= 127 or c == 37 or c == 47 or c == 63 or c == 35 or c == 92 then
			return format("%%%02X", c)
		end
		return char(c)
	end)
	return path
end

-- resolved has no doubled slashes and no dot segments.
local function resolved(path)
	path = gsub(path, "//+", "/")
	if not find(path, "/.", 1, true) then
		return path
	end
	local out, n, last, at = {}, 0, false, 1
	while not last do
		local to = find(path, "/", at, true)
		last = to == nil
		local segment = sub(path, at, (to or 0) - 1)
		if segment == ".." or segment == "." then
			if segment == ".." and n > 1 then
				n = n - 1
			end
			if last then
				n = n + 1
				out[n] = ""
			end
		else
			n = n + 1
			out[n] = segment
		end
		at = (to or 0) + 1
	end
	return concat(out, "/", 1, n)
end

local function canonical(path) return resolved(decoded(path)) end

-- read takes all that may be a slash for one, and parameters of a segment for nothing.
local function read(path)
	path = gsub(gsub(decoded(path), "%%2F", "/"), "%%5C", "/")
	if find(path, ";", 1, true) then
		path = gsub(gsub("/" .. path .. "/", "/([^/;]*);[^/]*", "/%1"), "^/(.*)/$", "%1")
	end
	return resolved(path)
end

core.register_converters("waggle_path", canonical)

-- The other way in which a path may be read, "?" if there are several, empty if there is none.
core.register_converters("waggle_other_path", function(path)
	local first = canonical(path)
	local reading = read(path)
	if reading ~= read(first) then
		return "?"
	end
	if reading == first then
		return ""
	end
	return reading
end)
