-- As much of Kong as jan-media-gate needs, over the tables of one request at a time.
-- Not Kong's own PDK: what it costs is not measured, apart from the strings that pass through.
local request

local function lower(name)
  return name:lower()
end

kong = {
  ctx = setmetatable({}, { __index = function() return request.shared end }),
  router = { get_route = function() return {} end },
  client = { authenticate = function() end },
  request = {
    get_headers = function() return request.headers end,
    get_raw_body = function() return request.body end,
    get_http_version = function() return 1.1 end,
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
function require() return { null = "null", encode = tostring } end

-- The two parts of what the code does: before the plugin, and as the plugin's last call.
return function(code)
  local gate = assert(loadstring(code))()
  return function(new)
    request, ngx.var.upstream_scheme = new, "http"
    gate:access({ guards = true })
  end, function(...)
    -- a plugin is a coroutine, which the last call leaves for good
    assert(coroutine.resume(coroutine.create(request.shared.jan_media_admit), ...))
    assert(ngx.var.upstream_scheme == "http" or request.status)
  end
end
