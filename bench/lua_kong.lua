-- As much of Kong as kong.yml's pre-function and post-function need, over one request's tables.
-- Not Kong's own PDK: what it costs is not measured, apart from the strings that pass through.
local request = ...

local function lower(name)
  return name:lower()
end

return {
  ctx = { shared = request.shared },
  log = setmetatable({}, {
    __call = function() end,
    __index = function() return function() end end,
  }),
  request = {
    get_header = function(name) return request.headers[lower(name)] end,
    get_headers = function() return request.headers end,
    get_raw_body = function() return request.body end,
    get_method = function() return "POST" end,
  },
  service = {
    request = {
      set_headers = function(headers)
        for name, value in pairs(headers) do request.headers[lower(name)] = value end
      end,
      set_header = function(name, value) request.headers[lower(name)] = value end,
      clear_header = function(name) request.headers[lower(name)] = nil end,
      set_raw_body = function(body) request.body_set = body end,
    },
  },
  response = {
    exit = function(status) request.status = status end,
  },
}
