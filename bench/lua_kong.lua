-- As much of Kong as kong.yml's pre-function needs, over the tables of one request at a time.
-- Not Kong's own PDK: what it costs is not measured, apart from the strings that pass through.
local request

local function lower(name)
  return name:lower()
end

kong = {
  ctx = setmetatable({}, { __index = function() return request.shared end }),
  client = { authenticate = function() end },
  request = {
    get_headers = function() return request.headers end,
    get_raw_body = function() return request.body end,
  },
  service = {
    request = {
      set_headers = function(headers)
        for name, value in pairs(headers) do request.headers[lower(name)] = value end
      end,
      set_raw_body = function(body) request.body_set = body end,
    },
  },
  response = {
    exit = function(status) request.status = status; coroutine.yield() end,
  },
}
ngx = { var = {} }

-- The two parts of what the code does: before the plugin, and as the plugin's last call.
return function(code)
  local gather = assert(loadstring(code))()
  return function(new)
    request, ngx.var.upstream_scheme = new, "http"
    gather()
  end, function(...)
    -- a plugin is a coroutine, which the last call leaves for good
    assert(coroutine.resume(coroutine.create(request.shared.jan_media_finish), ...))
    assert(ngx.var.upstream_scheme == "http" or request.status)
  end
end
