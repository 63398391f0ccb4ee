-- jan-media-gate: the part of the plugin jan-media that must run inside Kong; the rest is Python.
-- `access` runs right before jan-media. It gathers what jan-media needs to know about the request,
-- so that one question is enough, and closes the way to the upstream, with a scheme that nginx does
-- not know. jan-media's last call, `admit`, applies its decision and opens the way. If jan-media
-- never calls it (its server is dead, still starting or too slow), the client gets a 503.
-- `header_filter` and `body_filter` change the response: every error has one shape, every response
-- a request id, and no Location an internal address.
local cjson = require "cjson.safe"

local SMALL = 65536 -- the largest body that is read here, in bytes; jan-media asks for larger ones
local DECIDED = "X-Jan-Media-Decided" -- marks jan-media's own errors; clients do not see it
local ANTHROPIC = "anthropic-version" -- clients that send it expect a type beside `error`

-- By status: type and code of an error that Kong has made, and the message for one of nginx's.
local KINDS = {
  [401] = { "authentication_error", "unauthenticated" },
  [403] = { "permission_error", "access_refused" },
  [404] = { "not_found_error", "not_found" },
  [413] = { "size_error", "max_size_exceeded", "The body is too large. Upload files, send ids." },
  [429] = { "rate_limit_error", "too_many_requests" },
  [501] = { "api_error", "not_implemented", "Send no Transfer-Encoding but chunked." },
  [502] = { "api_error", "gateway_error", "The upstream gave no valid answer. Try again." },
  [503] = { "api_error", "service_unavailable", "The upstream is not there. Try again shortly." },
  [504] = { "api_error", "gateway_error", "The upstream took too long. Try again." },
}
local ANY_4XX = { "invalid_request_error", "invalid_request", "Malformed or too large a request." }
local ANY_5XX = { "api_error", "gateway_error", "The gateway could not do this. Try again." }
local REFUSED = "The gateway refused this."

-- Messages of acl and rate-limiting, and what to tell a client instead.
local MESSAGES = {
  ["Unauthorized"] = "Send a token: Authorization: Bearer <token>.",
  ["You cannot consume this service"] = "Your groups do not admit you. Ask the gateway's operator.",
  ["API rate limit exceeded"] = "Too many requests. Wait as Retry-After says, then try again.",
}

local function error_body(kind, message, param)
  local encode = cjson.encode
  return ('{%s"error":{"type":%s,"code":%s,"message":%s,"param":%s}}'):format(
    kong.request.get_header(ANTHROPIC) and '"type":"error",' or "",
    encode(kind[1]), encode(kind[2]), encode(message), encode(param or cjson.null))
end

-- Whether jan-media must inspect a body, by jan-media's own test.
local function may_concern(headers, body)
  return headers["content-encoding"]
    or body:sub(1, 4):find("[%z\254\255]") -- UTF-16 or UTF-32
    or body:find("\\u00", 1, true)
    or body:find("base64", 1, true)
    or body:find('"data"', 1, true)
    or body:lower():find("jan_", 1, true)
end

-- The body for jan-media; "" if it does not concern jan-media. Nil if it is large or streams
-- through: then jan-media asks for it once it knows who is calling.
local function gathered_body(headers, route)
  local length = tonumber(headers["content-length"])
  if not length then
    return not headers["transfer-encoding"] and kong.request.get_http_version() < 2 and "" or nil
  end
  if length > SMALL or (route and route.request_buffering == false) then
    return nil
  end
  local body = length > 0 and kong.request.get_raw_body(0) or ""
  return may_concern(headers, body) and body or ""
end

-- jan-media sends long texts in pieces: Kong's time for one message grows with its length squared.
local function piece(text)
  table.insert(kong.ctx.shared.jan_media_pieces, text)
end

-- The next `count` pieces, joined. Nil if there are fewer.
local function joined(count, taken)
  local pieces, last = kong.ctx.shared.jan_media_pieces, taken + count
  return last <= #pieces and table.concat(pieces, "", taken + 1, last) or nil
end

-- The body with all edits applied. An edit {from, to, replacement} replaces the bytes from+1 to
-- `to`; edits are in ascending order. A number as replacement stands for that many pieces. Nil if
-- an edit does not fit: a request is never sent on half edited.
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

-- jan-media's last call. An argument is false if nothing changes. `edits` is a list for `edited`,
-- or the number of pieces of a new body. Kong runs a plugin as a coroutine and abandons one that
-- yields, which is how kong.response.exit works: so no answer goes back to jan-media.
local function admit(headers, groups, edits, consumer, credential)
  local shared = kong.ctx.shared
  shared.jan_media_decided = true
  if edits then
    local body = type(edits) == "number" and joined(edits, 0)
      or type(edits) == "table" and edited(kong.request.get_raw_body(0) or "", edits)
    if not body then
      return kong.response.exit(500, { message = "The body could not be put together. Try again." })
    end
    kong.service.request.set_raw_body(body)
  end
  if headers then
    kong.service.request.set_headers(headers)
  end
  if consumer then
    kong.client.authenticate(consumer, credential)
  end
  shared.authenticated_groups = groups or shared.authenticated_groups
  ngx.var.upstream_scheme = ngx.var.upstream_scheme:gsub("^closed%-", "")
  coroutine.yield()
end

-- Whether `authority` (host, or host:port) is one of the upstream's names.
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

-- An upstream's Location as a path on the gateway, if it names the upstream; nil otherwise.
local function outer_location(location)
  local scheme, authority, path = location:match("^(%a*):?//([^/?#]*)(.*)$")
  if not authority or not is_upstream(scheme:lower(), authority) then
    return nil
  end
  path = path:sub(1, 1) == "/" and path or "/" .. path
  -- The prefix of the request's path at the gateway, and the one that replaced it at the upstream.
  local here, there = kong.request.get_raw_path(), ngx.var.upstream_uri:match("^[^?]*")
  local same = 0
  while same < #here and same < #there and here:byte(-1 - same) == there:byte(-1 - same) do
    same = same + 1
  end
  here, there = here:sub(1, #here - same), there:sub(1, #there - same)
  return path:sub(1, #there) == there and here .. path:sub(#there + 1) or path
end

-- The body of another plugin's error, in the one shape.
local function shaped(kind, body)
  local given = cjson.decode(body)
  given = type(given) == "table" and given or {}
  local own = type(given.error) == "table" and given.error or {}
  if own.type and own.code and own.code ~= ANY_5XX[2] then
    return error_body({ own.type, own.code }, own.message, own.param)
  end
  local said = own.message or given.message
  said = type(said) == "string" and said or kind[3] or REFUSED
  return error_body(kind, MESSAGES[said] or said)
end

-- Right before jan-media (1100): the answer of an earlier plugin does not concern it.
local Gate = { VERSION = "0.1.0", PRIORITY = 1101 }

function Gate:access(conf)
  if conf.guards then
    local headers, shared = kong.request.get_headers(1000), kong.ctx.shared
    shared.jan_media_piece, shared.jan_media_admit, shared.jan_media_pieces = piece, admit, {}
    local route = kong.router.get_route()
    shared.jan_media_gathered = {
      headers = headers,
      body = gathered_body(headers, route),
      route = route and route.name,
      request_id = ngx.var.kong_request_id,
    }
    ngx.var.upstream_scheme = "closed-" .. ngx.var.upstream_scheme
  end
end

local function set_if_missing(name, value)
  if not kong.response.get_header(name) then
    kong.response.set_header(name, value)
  end
end

function Gate:header_filter(conf)
  local response, shared, status = kong.response, kong.ctx.shared, kong.response.get_status()
  local own, source = kong.ctx.plugin, response.get_source() -- "exit": a plugin; "error": nginx
  local is_own = source ~= "service" and response.get_header(DECIDED)
  local is_undecided = shared.jan_media_gathered and not shared.jan_media_decided and not is_own
  set_if_missing("X-Request-Id", ngx.var.kong_request_id)
  if kong.request.get_header(ANTHROPIC) then
    set_if_missing("Request-Id", ngx.var.kong_request_id) -- as Anthropic's clients call it
  end
  -- A 4xx of nginx stays: it says what is wrong with a body that jan-media asked for.
  if is_undecided and (source ~= "error" or status >= 500) then
    response.set_status(503)
    response.clear_header("WWW-Authenticate")
    own.error = error_body(KINDS[503], "The gateway cannot check requests now. Try again soon.")
  elseif source == "service" then
    local location = outer_location(response.get_header("Location") or "")
    if location then
      response.set_header("Location", location)
    end
  elseif status >= 400 and (not is_own or kong.request.get_header(ANTHROPIC)) then
    local kind = KINDS[status] or (status < 500 and ANY_4XX or ANY_5XX)
    own.error = source == "error" and error_body(kind, kind[3] or REFUSED)
    own.shaping = not own.error and kind
    if status == 401 then
      set_if_missing("WWW-Authenticate", 'Bearer realm="jan"')
    end
  end
  response.clear_header(DECIDED)
  if shared.jan_media_ids then -- ids of inline media that were stored
    response.set_header("X-Jan-Media", shared.jan_media_ids)
  end
  if own.error or own.shaping then
    response.set_header("Content-Type", "application/json")
    response.clear_header("Content-Length")
    if own.error then
      response.set_header("Content-Length", tostring(#own.error))
    end
    if response.get_status() == 503 then
      set_if_missing("Retry-After", "1")
    end
  end
end

function Gate:body_filter(conf)
  local own = kong.ctx.plugin
  local body = (own.error or own.shaping) and kong.response.get_raw_body()
  if body then
    kong.response.set_raw_body(own.error or shaped(own.shaping, body))
  end
end

return Gate
