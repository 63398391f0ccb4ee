-- The part of Kong's plugin development kit (PDK) that the plugins here use, and the runner of
-- plugins: like Kong, it runs each in a coroutine.
--
-- A plugin yields its calls of Python to `go_on`, which makes them on the main thread: otherwise
-- lupa would keep a pointer to the coroutine's stack, and use it after the coroutine is gone.
local host, path = ...

local resume, yield, status = coroutine.resume, coroutine.yield, coroutine.status
local ASK, BODY, EXIT = {}, {}, {}
local context -- of the request whose plugin runs now: the tables shared, ngx and plugins
local own -- that plugin's kong.ctx.plugin

local function ask(name, ...)
  return yield(ASK, host[name], ...)
end

local function asks(name)
  return function(...) return ask(name, ...) end
end

local function gets(name)
  return function() return ask("get", name) end
end

local function table_of(find)
  return setmetatable({}, {
    __index = function(_, key) return find()[key] end,
    __newindex = function(_, key, value) find()[key] = value end,
  })
end

local function status_code(code, least)
  if type(code) ~= "number" or code < least or code > 599 then
    error(("code must be a number between %d and 599"):format(least), 3)
  end
  return code
end

-- The lines of a header, from the value that a plugin passes.
local function lines(name, value)
  local given, found = type(value) == "table" and value or { value }, {}
  for at, line in ipairs(given) do
    local kind = type(line)
    if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
      error(("invalid value in header %q: got %s"):format(name, kind), 3)
    end
    found[at] = tostring(line)
  end
  if value == nil or (#found == 0 and next(given) ~= nil) then
    error(("invalid value in header %q"):format(name), 3)
  end
  return found
end

-- Functions that change headers, of the request to the upstream or of the answer.
local function changing(headers)
  local function set_header(name, value)
    ask("set_header", headers, name, lines(name, value))
  end
  return {
    set_header = set_header,
    set_headers = function(given)
      for name, value in pairs(given) do
        set_header(name, value)
      end
    end,
    add_header = function(name, value) ask("add_header", headers, name, lines(name, value)) end,
    clear_header = function(name) ask("set_header", headers, name, {}) end,
  }
end

-- Makes a table of headers accept names in any case, and with underscores for hyphens.
local any_spelling = {
  __index = function(headers, name)
    return type(name) == "string" and rawget(headers, (name:lower():gsub("_", "-"))) or nil
  end,
}

local function headers_of(side)
  return function(most) return setmetatable(ask("headers", side, most or 100), any_spelling) end
end

-- cjson's null is an empty userdata in Kong; here it is a unique table.
local cjson = { null = {}, decode = asks("json_decode") }
function cjson.encode(value)
  return value == cjson.null and "null" or ask("json_encode", value)
end
package.loaded["cjson"], package.loaded["cjson.safe"] = cjson, cjson
package.path = path

kong = {
  ctx = {
    shared = table_of(function() return context.shared end),
    plugin = table_of(function() return own end),
  },
  client = { get_ip = gets("client_ip"), get_forwarded_ip = gets("client_ip") },
  log = {},
  request = {
    get_header = asks("request_header"),
    get_headers = headers_of("request"),
    get_http_version = gets("http_version"),
    get_method = gets("method"),
    get_path = gets("path"),
    get_raw_path = gets("raw_path"),
    get_raw_query = gets("query"),
  },
  response = changing("answer"),
  router = { get_route = asks("route"), get_service = asks("service") },
  service = { request = changing("request") },
}

for _, level in ipairs({ "debug", "info", "notice", "warn", "err", "crit", "alert", "emerg" }) do
  kong.log[level] = function(...)
    local words = {}
    for at = 1, select("#", ...) do
      words[at] = tostring((select(at, ...)))
    end
    ask("log", level, table.concat(words))
  end
end

-- limit: the largest body to read back from a temporary file, 0 for any; without a limit, a body
-- that is not in memory is an error.
function kong.request.get_raw_body(limit)
  yield(BODY)
  return ask("raw_body", limit)
end

function kong.service.request.set_raw_body(body)
  yield(BODY)
  ask("set_raw_body", body)
end

function kong.client.get_consumer() return context.ngx.authenticated_consumer end
function kong.client.get_credential() return context.ngx.authenticated_credential end

function kong.client.authenticate(consumer, credential)
  for _, given in pairs({ consumer = consumer or false, credential = credential or false }) do
    if given and type(given) ~= "table" then
      error("consumer and credential must be tables or nil", 2)
    end
  end
  if not consumer and not credential then
    error("either credential or consumer must be provided", 2)
  end
  context.ngx.authenticated_consumer = consumer
  context.ngx.authenticated_credential = credential
end

local response = kong.response
response.get_headers = headers_of("answer")
response.get_source = gets("source")
response.get_status = gets("status")

function response.set_status(code)
  ask("set_status", status_code(code, 100))
end

function response.get_header(name)
  local value = response.get_headers(1000)[name]
  return type(value) == "table" and value[1] or value
end

-- Answers at once: the plugin goes no further.
function response.exit(code, body, headers)
  status_code(code, 100)
  if type(body) == "table" then
    body = cjson.encode(body)
    response.set_header("Content-Type", "application/json; charset=utf-8")
  end
  response.set_headers(headers or {})
  ask("exit", code, body or "")
  yield(EXIT)
end

-- The same with an error page, in the format that the client accepts.
function response.error(code, message, headers)
  local content_type, body = ask("error_page", status_code(code, 400), message)
  response.set_header("Content-Type", content_type)
  response.exit(code, body, headers)
end

ngx = {
  arg = {},
  ctx = table_of(function() return context.ngx end),
  now = asks("now"),
  var = setmetatable({}, {
    __index = function(_, name) return ask("variable", name) end,
    __newindex = function(_, name, value)
      if name ~= "upstream_scheme" then -- the only changeable variable that devkong has
        error("variable \"" .. name .. "\" not changeable", 2)
      end
      ask("set_upstream_scheme", tostring(value))
    end,
  }),
}

function response.get_raw_body() -- the whole body at the last piece, nil before
  own.devkong_body = (own.devkong_body or "") .. (ngx.arg[1] or "")
  ngx.arg[1] = nil
  return ngx.arg[2] and own.devkong_body or nil
end

function response.set_raw_body(body)
  ngx.arg[1] = body
end

-- What an external plugin may call: functions of the PDK, and any that another plugin has left in
-- kong.ctx.shared. As long as its worker lives, Kong keeps the first that it finds under a name.
local found = {
  ["kong.ctx.shared.get"] = function(key) return context.shared[key] end,
  ["kong.ctx.shared.set"] = function(key, value) context.shared[key] = value end,
}

local function call(name, ...)
  if not found[name] then
    local at = { kong = kong }
    for part in name:gmatch("[%w_]+") do
      at = type(at) == "table" and at[part] or nil
    end
    if not at then
      return kong.log.err("could not find pdk method: ", name)
    end
    found[name] = at
  end
  return found[name](...)
end

local function pack(...)
  return { n = select("#", ...), ... }
end

-- Runs a coroutine until it ends ("done", its first result), fails ("error", message), has answered
-- ("exit"), needs the client's body ("body", the coroutine), or yields by itself ("yield").
local function go_on(request_context, plugin_id, thread, ...)
  context = request_context
  context.plugins[plugin_id] = context.plugins[plugin_id] or {}
  own = context.plugins[plugin_id]
  local step = pack(resume(thread, ...))
  while step[1] and step[2] == ASK do
    step = pack(resume(thread, step[3](unpack(step, 4, step.n))))
  end
  if not step[1] then
    return "error", tostring(step[2])
  elseif status(thread) == "dead" then
    return "done", step[2]
  elseif step[2] == BODY then
    return "body", thread
  end
  return step[2] == EXIT and "exit" or "yield", nil
end

local function start(request_context, plugin_id, run, ...)
  return go_on(request_context, plugin_id, coroutine.create(run), ...)
end

local function filter(request_context, plugin_id, piece, last, run, ...)
  ngx.arg[1], ngx.arg[2] = piece, last
  local what, message = start(request_context, plugin_id, run, ...)
  return what, what == "done" and ngx.arg[1] or message
end

local function new_context()
  return { shared = {}, ngx = {}, plugins = {} }
end

-- The handler and the schema of a plugin, or nothing if it is not on the path.
local function plugin(name)
  local handler = "kong.plugins." .. name .. ".handler"
  if package.searchpath(handler, package.path) then
    return require(handler), require("kong.plugins." .. name .. ".schema")
  end
end

return {
  call = call, filter = filter, go_on = go_on, new_context = new_context, plugin = plugin,
  start = start,
}
