-- The globals kong and ngx, and the sandbox in which Kong runs untrusted Lua (untrusted_lua =
-- sandbox).
--
-- Code runs in a coroutine of its own, and whatever it wants of Python it yields to `drive`, which
-- runs on the main thread. Python never sees a value on a coroutine's stack: lupa would keep a
-- pointer to that stack, and use it after the coroutine is gone.
local call, read_ctx, write_ctx, names, reads_body = ...

local resume, yield, status = coroutine.resume, coroutine.yield, coroutine.status
local CALL, BODY, EXIT = {}, {}, {}

local function pack(...)
  return { n = select("#", ...), ... }
end

-- `call` gives "ok" and the results, "exit" when the answer is made, or "error" and a message
local function finish(outcome, ...)
  if outcome == "exit" then
    yield(EXIT)
  elseif outcome == "error" then
    error((...), 2)
  end
  return ...
end

local function bind(name)
  if reads_body[name] then
    return function(...)
      yield(BODY)
      return finish(yield(CALL, call, name, ...))
    end
  end
  return function(...)
    return finish(yield(CALL, call, name, ...))
  end
end

local function ctx(kind)
  return setmetatable({}, {
    __index = function(_, key) return yield(CALL, read_ctx, kind, key) end,
    __newindex = function(_, key, value) yield(CALL, write_ctx, kind, key, value) end,
  })
end

local kong = { ctx = { shared = ctx("shared"), plugin = ctx("plugin") }, log = {} }
setmetatable(kong.log, { __call = function(_, ...) return kong.log.notice(...) end })
for _, name in ipairs(names) do
  local at = { kong = kong }
  local path, last = name:match("^(.*)%.([^.]+)$")
  for part in path:gmatch("[^.]+") do
    at[part] = at[part] or {}
    at = at[part]
  end
  if name ~= "kong.log" and path ~= "kong.ctx.shared" then
    at[last] = bind(name)
  end
end
kong.log.inspect = kong.log.debug

-- tables of headers answer to any case, and to underscores for hyphens
local any_spelling = {
  __index = function(headers, name)
    return type(name) == "string" and rawget(headers, (name:lower():gsub("_", "-"))) or nil
  end,
}
for _, part in ipairs({ kong.request, kong.response }) do
  local get_headers = part.get_headers
  part.get_headers = function(...) return setmetatable(get_headers(...), any_spelling) end
end

local ngx = {
  OK = 0, ERROR = -1, DECLINED = -5,
  STDERR = 0, EMERG = 1, ALERT = 2, CRIT = 3, ERR = 4, WARN = 5, NOTICE = 6, INFO = 7, DEBUG = 8,
  HTTP_OK = 200, HTTP_CREATED = 201, HTTP_NO_CONTENT = 204, HTTP_MOVED_PERMANENTLY = 301,
  HTTP_MOVED_TEMPORARILY = 302, HTTP_BAD_REQUEST = 400, HTTP_UNAUTHORIZED = 401,
  HTTP_FORBIDDEN = 403, HTTP_NOT_FOUND = 404, HTTP_INTERNAL_SERVER_ERROR = 500,
  HTTP_BAD_GATEWAY = 502, HTTP_SERVICE_UNAVAILABLE = 503,
  ctx = ctx("ngx"),
  arg = {},
  var = setmetatable({}, {
    __index = function(_, name) return kong.nginx.get_var(name) end,
    __newindex = function(_, name, value)
      if name ~= "upstream_scheme" then -- the one of nginx's changeable ones that is here
        error("variable \"" .. name .. "\" not changeable", 2)
      end
      yield(CALL, names.set_upstream_scheme, tostring(value))
    end,
  }),
  header = setmetatable({}, {
    __index = function(_, name) return kong.response.get_header(name) end,
    __newindex = function(_, name, value)
      if value == nil then
        kong.response.clear_header(name)
      else
        kong.response.set_header(name, value)
      end
    end,
  }),
  req = {
    get_headers = kong.request.get_headers,
    set_header = function(name, value)
      if value == nil then
        return kong.service.request.clear_header(name)
      end
      return kong.service.request.set_header(name, value)
    end,
    clear_header = kong.service.request.clear_header,
    get_method = kong.request.get_method,
    get_uri_args = kong.request.get_query,
    set_uri_args = function(args)
      if type(args) == "table" then
        return kong.service.request.set_query(args)
      end
      return kong.service.request.set_raw_query(args)
    end,
    read_body = function() yield(BODY) end,
    get_body_data = function() return (kong.request.get_raw_body()) end,
    set_body_data = kong.service.request.set_raw_body,
    http_version = kong.request.get_http_version,
    start_time = kong.nginx.req_start_time,
  },
}

local levels = { [0] = "emerg", "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug" }
function ngx.log(level, ...) return kong.log[levels[level]](...) end
function ngx.now() return yield(CALL, names.now) end
function ngx.time() return math.floor(ngx.now()) end
function ngx.print(...) ngx.ctx.__printed = (ngx.ctx.__printed or "") .. table.concat({ ... }) end
function ngx.say(...) ngx.print(..., "\n") end
function ngx.exit(status)
  if status >= 200 then
    return kong.response.exit(status, ngx.ctx.__printed)
  end
  yield(EXIT)
end
for _, name in ipairs({ "encode_base64", "decode_base64", "escape_uri", "unescape_uri",
  "json_encode", "json_decode" }) do
  ngx[name] = function(text) return yield(CALL, names[name], text) end
end

local base = {}
local allowed = [[
_VERSION assert error ipairs next pairs pcall select tonumber tostring type unpack xpcall
coroutine.create coroutine.running coroutine.status coroutine.yield math.abs math.acos math.asin math.atan math.atan2 math.ceil math.cos math.cosh
math.deg math.exp math.fmod math.floor math.frexp math.huge math.ldexp math.log math.log10
math.max math.min math.modf math.pi math.pow math.rad math.random math.sin math.sinh math.sqrt
math.tan math.tanh os.clock os.date os.difftime os.time string.byte string.char string.find
string.format string.gmatch string.gsub string.len string.lower string.match string.rep
string.reverse string.sub string.upper table.concat table.insert table.maxn table.remove
table.sort
]]
for id in allowed:gmatch("%S+") do
  local module, method = id:match("^(%w+)%.(%w+)$")
  if module then
    base[module] = base[module] or {}
    base[module][method] = _G[module][method]
  else
    base[id] = _G[id]
  end
end

-- A coroutine of the operator's own must let calls for Python pass, on their way to `drive`.
local function pass_calls(thread, ok, what, ...)
  if ok and (what == CALL or what == BODY or what == EXIT) then
    return pass_calls(thread, resume(thread, yield(what, ...)))
  end
  return ok, what, ...
end

function base.coroutine.resume(thread, ...)
  return pass_calls(thread, resume(thread, ...))
end

function base.coroutine.wrap(run)
  local thread = coroutine.create(run)
  local function results(ok, ...)
    if not ok then
      error((...), 2)
    end
    return ...
  end
  return function(...)
    return results(pass_calls(thread, resume(thread, ...)))
  end
end

local function sandboxed(code, name)
  local env = setmetatable({ kong = kong, ngx = ngx }, { __index = base })
  env._G = env
  env.require = function(module)
    error("require '" .. module .. "' not allowed within sandbox", 2)
  end
  -- text only: bytecode could leave the sandbox
  local chunk, err = load(code, "=" .. name, "t", env)
  if not chunk then
    return nil, err
  end
  local ran = false
  local function run()
    if ran then
      return chunk()
    end
    ran = true
    local result = chunk()
    -- a chunk may return the function that is to run from now on
    if type(result) == "function" then
      chunk = result
      return chunk()
    end
  end
  return run
end

-- Runs a coroutine until it ends ("done", its first result), fails ("error", message), has made its
-- answer ("exit"), needs the client's body ("body"), or yields of its own accord ("yield").
local function drive(thread, ...)
  local step = pack(resume(thread, ...))
  while true do
    if not step[1] then
      return "error", tostring(step[2])
    elseif status(thread) == "dead" then
      return "done", step[2]
    elseif step[2] == CALL then
      step = pack(resume(thread, step[3](unpack(step, 4, step.n))))
    elseif step[2] == BODY then
      return "body"
    elseif step[2] == EXIT then
      return "exit"
    else
      return "yield"
    end
  end
end

local waiting, last_id = {}, 0

local function step(id, thread, ...)
  local what, message = drive(thread, ...)
  waiting[id] = (what == "body" or what == "yield") and thread or nil
  return what, message, id
end

local function start(run, ...)
  last_id = last_id + 1
  return step(last_id, coroutine.create(run), ...)
end

local function go_on(id)
  return step(id, waiting[id])
end

local function forget(id)
  waiting[id] = nil
end

local function filter(run, piece, last)
  ngx.arg[1], ngx.arg[2] = piece, last
  local what, message = drive(coroutine.create(run))
  return what, message, ngx.arg[1]
end

return sandboxed, start, go_on, forget, filter
