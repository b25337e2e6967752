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

-- slashes has a slash for all that may be one in a path that is decoded.
local function slashes(path)
	path = gsub(gsub(path, "%%2F", "/"), "%%5C", "/")
	return path
end

local function without_parameters(path)
	if find(path, ";", 1, true) then
		path = gsub(gsub("/" .. path .. "/", "/([^/;]*);[^/]*", "/%1"), "^/(.*)/$", "%1")
	end
	return path
end

-- read takes for a slash all that may be one, and parameters for nothing.
local function read(path) return resolved(without_parameters(slashes(path))) end

core.register_converters("waggle_path", canonical)

-- The other way in which a path may be read, "?" if there are several, empty if there is none.
core.register_converters("waggle_other_path", function(path)
	local plain = decoded(path)
	local first = resolved(plain)
	local other = first
	for _, reading in ipairs({ slashes(plain), without_parameters(plain), without_parameters(slashes(plain)), slashes(without_parameters(plain)) }) do
		reading = resolved(reading)
		if reading ~= first and reading ~= other then
			if other ~= first then
				return "?"
			end
			other = reading
		end
	end
	-- What has been resolved may hide what would have been read otherwise.
	if read(plain) ~= read(first) then
		return "?"
	end
	if other == first then
		return ""
	end
	return other
end)
