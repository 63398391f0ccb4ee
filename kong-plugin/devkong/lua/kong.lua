-- The globals kong and ngx, and the plugins on the lua_package_path.
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

local own = { create = coroutine.create, running = coroutine.running, status = status, yield = yield }

-- A coroutine of a plugin's own must let calls for Python pass, on their way to `drive`.
local function pass_calls(thread, ok, what, ...)
  if ok and (what == CALL or what == BODY or what == EXIT) then
    return pass_calls(thread, resume(thread, yield(what, ...)))
  end
  return ok, what, ...
end

function own.resume(thread, ...)
  return pass_calls(thread, resume(thread, ...))
end

function own.wrap(run)
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

-- cjson's null is an empty userdata in Kong; here a table that nobody else has.
local cjson = { null = {}, decode = ngx.json_decode }
function cjson.encode(value)
  return value == cjson.null and "null" or ngx.json_encode(value)
end

function kong.response.get_raw_body() -- all of it with the last piece, nil before
  local ctx = kong.ctx.plugin
  ctx.devkong_body = (ctx.devkong_body or "") .. (ngx.arg[1] or "")
  ngx.arg[1] = nil
  return ngx.arg[2] and ctx.devkong_body or nil
end

function kong.response.set_raw_body(body)
  ngx.arg[1] = body
end

-- Loads a module with Kong's globals; it may require others on the lua_package_path.
local loaded = { cjson = cjson, ["cjson.safe"] = cjson }
local env = setmetatable({ kong = kong, ngx = ngx, coroutine = own }, { __index = _G })
env._G = env

local function load_module(name, path)
  if loaded[name] == nil then
    for pattern in path:gmatch("[^;]+") do
      local file = io.open((pattern:gsub("?", (name:gsub("%.", "/")))), "rb")
      if file then
        local code = file:read("*a")
        file:close()
        local chunk = assert(load(code, "=" .. name, "t", setmetatable({
          require = function(other) return load_module(other, path) end,
        }, { __index = env })))
        return chunk() or true
      end
    end
    error("devkong has no module " .. name)
  end
  return loaded[name]
end

function env.load(code, name) return load(code, name, "t", env) end

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

local function filter(run, piece, last, ...)
  ngx.arg[1], ngx.arg[2] = piece, last
  local what, message = drive(coroutine.create(run), ...)
  return what, message, ngx.arg[1]
end

return load_module, start, go_on, forget, filter
