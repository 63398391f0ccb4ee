-- jan-media-gate: what has to happen inside Kong for the plugin jan-media, which runs in Python.
--
-- `access` runs right before jan-media. It gathers what jan-media wants to know of the request, so
-- that jan-media asks once, and closes the way to the upstream. jan-media's last call, `admit`, does
-- what was decided and opens the way. Should jan-media never get there (its server is dead, still
-- starting or too slow), nginx finds no upstream, and the client gets a 503.
--
-- `header_filter` and `body_filter` look after the answer: every error in one shape, a request id,
-- and no address of the inner network in Location.
local cjson = require "cjson.safe"

local CLOSED = "closed-" -- in front of the upstream's scheme: a scheme that nginx does not know
local SMALL = 65536 -- bytes of a body that is read here; jan-media asks for a larger one
local DECIDED = "X-Jan-Media-Decided" -- on jan-media's own error answers; clients do not see it
local MOST_HEADERS = 1000

-- Type and code of an error that Kong or a plugin made, by its status.
local KINDS = {
  [401] = { "authentication_error", "unauthenticated" },
  [403] = { "permission_error", "access_refused" },
  [404] = { "not_found_error", "not_found" },
  [413] = { "size_error", "max_size_exceeded" },
  [429] = { "rate_limit_error", "too_many_requests" },
  [503] = { "api_error", "service_unavailable" },
}
local OTHER_4XX = { "invalid_request_error", "invalid_request" }
local OTHER_5XX = { "api_error", "gateway_error" }

-- What Kong says, and what a client can do about it.
local MESSAGES = {
  ["Unauthorized"] = "Send a token: Authorization: Bearer <token>.",
  ["You cannot consume this service"] =
    "Your groups do not admit you here. Ask the gateway's operator for access.",
  ["API rate limit exceeded"] = "Too many requests. Wait as Retry-After says, then try again.",
  ["An invalid response was received from the upstream server"] =
    "The server behind the gateway gave no valid answer. Try again.",
  ["The upstream server is currently unavailable"] =
    "The server behind the gateway cannot be reached. Try again shortly.",
  ["The upstream server is timing out"] =
    "The server behind the gateway took too long. Try again.",
}

local function error_body(kind, message, param)
  return string.format(
    '{"error":{"type":%s,"code":%s,"message":%s,"param":%s}}',
    cjson.encode(kind[1]), cjson.encode(kind[2]), cjson.encode(message), cjson.encode(param)
  )
end

local UNDECIDED = error_body(
  KINDS[503], "The gateway cannot check requests at the moment. Try again shortly.", cjson.null
)

-- Whether jan-media has to look at a body, by the test that it applies itself.
local function may_concern(headers, body)
  return headers["content-encoding"]
    or body:sub(1, 4):find("[%z\254\255]") -- UTF-16 or UTF-32
    or body:find("\\u00", 1, true)
    or body:find("base64", 1, true)
    or body:find('"data"', 1, true)
    or body:lower():find("jan_", 1, true)
end

-- The body for jan-media; "" if nothing in it concerns jan-media, and nil if it is to ask for the
-- body when it knows who is calling: for a large one, and where the body streams through.
local function gathered_body(headers)
  local length = tonumber(headers["content-length"])
  if not length then
    local none = not headers["transfer-encoding"] and kong.request.get_http_version() < 2
    return none and "" or nil
  end
  local media_type, route = headers["content-type"], kong.router.get_route()
  if length > SMALL or (route and route.request_buffering == false)
     or (type(media_type) == "string" and media_type:lower():find("^multipart/form%-data")) then
    return nil
  end
  local body = length > 0 and kong.request.get_raw_body(0) or ""
  return may_concern(headers, body) and body or ""
end

-- jan-media sends long texts in pieces, since one answer of it costs Kong the square of its length.
local function piece(text)
  local pieces = kong.ctx.shared.jan_media_pieces
  pieces[#pieces + 1] = text
end

-- The next `count` pieces, joined. Nil if there are not so many.
local function joined(count, taken)
  local pieces = kong.ctx.shared.jan_media_pieces
  if taken + count > #pieces then
    return nil
  end
  return table.concat(pieces, "", taken + 1, taken + count)
end

-- The body with each edit made, which is {from, to, replacement}: the bytes from+1 to `to` go. They
-- are in rising order. A replacement that is a number stands for so many pieces. Nil if one does not
-- fit: a request is never sent on half edited.
local function edited(body, edits)
  local parts, kept, taken = {}, 0, 0
  for _, edit in ipairs(edits) do
    local from, to, replacement = edit[1], edit[2], edit[3]
    if type(replacement) == "number" then
      taken, replacement = taken + replacement, joined(replacement, taken)
    end
    if not replacement or from < kept or to < from or to > #body then
      return nil
    end
    parts[#parts + 1], parts[#parts + 2] = body:sub(kept + 1, from), replacement
    kept = to
  end
  parts[#parts + 1] = body:sub(kept + 1)
  return table.concat(parts)
end

-- jan-media's last call. What was not decided is false. `edits` is a list for `edited`, or the number
-- of pieces that are another body.
--
-- Kong runs a plugin as a coroutine, and one that yields is over, as kong.response.exit ends one.
-- So no answer goes back to jan-media.
local function admit(headers, groups, edits, consumer, credential)
  local shared = kong.ctx.shared
  shared.jan_media_decided = true
  if edits then
    local body = type(edits) == "number" and joined(edits, 0)
      or type(edits) == "table" and edited(kong.request.get_raw_body(0) or "", edits)
    if not body then
      return kong.response.exit(500,
        error_body(OTHER_5XX, "The request body could not be put together. Try again.", cjson.null),
        { ["Content-Type"] = "application/json" })
    end
    kong.service.request.set_raw_body(body)
  end
  if headers then
    kong.service.request.set_headers(headers)
  end
  if consumer then
    kong.client.authenticate(consumer, credential)
  end
  if groups then
    shared.authenticated_groups = groups
  end
  local scheme = ngx.var.upstream_scheme
  if scheme:sub(1, #CLOSED) == CLOSED then
    ngx.var.upstream_scheme = scheme:sub(#CLOSED + 1)
  end
  coroutine.yield()
end

-- Whether `authority` (host, or host:port) is that of the upstream, by one of its names.
local function is_upstream(scheme, authority)
  local port = scheme == "https" and ":443" or ":80"
  local function full(name)
    name = name:lower()
    return name:find(":%d+$") and name or name .. port
  end
  local wanted = full(authority:gsub("^.*@", ""))
  local service, reached = kong.router.get_service(), ngx.ctx.balancer_data
  return wanted == full(ngx.var.upstream_host or "")
    or (service and wanted == full(service.host .. ":" .. service.port))
    or (reached and reached.ip and wanted == full(reached.ip .. ":" .. reached.port))
end

-- An upstream's Location as a path of the gateway, if it names the upstream; nil otherwise.
local function outer_location(location)
  local scheme, authority, path = location:match("^(%a*):?//([^/?#]*)(.*)$")
  if not authority or not is_upstream(scheme:lower(), authority) then
    return nil
  end
  path = path:sub(1, 1) == "/" and path or "/" .. path
  -- What the request's own path has in front here, and what stood there when it was sent on.
  local here, there = kong.request.get_path(), ngx.var.upstream_uri:match("^[^?]*")
  while #here > 0 and #there > 0 and here:byte(-1) == there:byte(-1) do
    here, there = here:sub(1, -2), there:sub(1, -2)
  end
  return path:sub(1, #there) == there and here .. path:sub(#there + 1) or path
end

-- The body of an error that Kong or another plugin made, in the one shape.
local function shaped(status, body)
  local kind = KINDS[status] or (status < 500 and OTHER_4XX or OTHER_5XX)
  local given = cjson.decode(body)
  given = type(given) == "table" and given or {}
  local own = given.error
  if type(own) == "table" and type(own.message) == "string" and type(own.type) == "string"
     and type(own.code) == "string" and own.code ~= OTHER_5XX[2] then
    local param = type(own.param) == "string" and own.param or cjson.null
    return error_body({ own.type, own.code }, own.message, param)
  end
  local said = type(own) == "table" and own.message or given.message
  for known in pairs(MESSAGES) do -- in a page, for a client that asked for HTML
    said = said or body:find(known, 1, true) and known
  end
  said = type(said) == "string" and said or "The gateway refused this request."
  return error_body(kind, MESSAGES[said] or said, cjson.null)
end

local Gate = {
  VERSION = "0.1.0",
  PRIORITY = 1101, -- right before jan-media (1100): whatever answers before is none of its business
}

function Gate:access(conf)
  if not conf.guards then
    return
  end
  local headers, shared = kong.request.get_headers(MOST_HEADERS), kong.ctx.shared
  shared.jan_media_piece, shared.jan_media_admit, shared.jan_media_pieces = piece, admit, {}
  shared.jan_media_gathered = { headers = headers, body = gathered_body(headers) }
  ngx.var.upstream_scheme = CLOSED .. ngx.var.upstream_scheme
end

function Gate:header_filter(conf)
  local response, shared, status = kong.response, kong.ctx.shared, kong.response.get_status()
  local source = response.get_source() -- "service", "exit" (a plugin), "error" (nginx)
  local is_own = source ~= "service" and response.get_header(DECIDED)
  local is_undecided = shared.jan_media_gathered and not shared.jan_media_decided and not is_own
  if not response.get_header("X-Request-Id") then
    response.set_header("X-Request-Id", ngx.var.kong_request_id)
  end
  -- 4xx from nginx: what is wrong with a body that jan-media asked for.
  if is_undecided and (source ~= "error" or status >= 500) then
    kong.ctx.plugin.error = UNDECIDED
    response.set_status(503)
    response.clear_header("WWW-Authenticate")
  elseif source == "service" then
    local location = response.get_header("Location")
    location = location and outer_location(location)
    if location then
      response.set_header("Location", location)
    end
  elseif status >= 400 and not is_own then
    kong.ctx.plugin.error = status
    if status == 401 and not response.get_header("WWW-Authenticate") then
      response.set_header("WWW-Authenticate", 'Bearer realm="jan"')
    end
  end
  response.clear_header(DECIDED)
  if kong.ctx.plugin.error then
    response.set_header("Content-Type", "application/json")
    response.clear_header("Content-Length")
    if response.get_status() == 503 and not response.get_header("Retry-After") then
      response.set_header("Retry-After", "1")
    end
  end
end

function Gate:body_filter(conf)
  local failure = kong.ctx.plugin.error
  local body = failure and kong.response.get_raw_body()
  if body then
    kong.response.set_raw_body(failure == UNDECIDED and failure or shaped(failure, body))
  end
end

return Gate
