-- What Kong does for jan-media by itself, so that jan-media asks it little: for a pre-function, phase
-- access, on a route with `lua: true`. It gathers all that jan-media wants to know of a request, and
-- closes the way to the upstream. `finish` is jan-media's last call: it does what was decided, and
-- opens the way. Until then no upstream can be reached.
local request, upstream, response = kong.request, kong.service.request, kong.response
local CLOSED = "closed-"

-- The body, if it may hold a media id (the test is that of rewrite/candidates.py), and "" if it
-- cannot: then it is not moved. Nobody knows yet who is calling, so a long body, and one of unknown
-- length, is left for jan-media to ask for.
local function body_for(media_type, length)
  if type(media_type) ~= "string" or not media_type:lower():find("json", 1, true)
     or not length or length > 1048576 then
    return nil
  end
  local body = request.get_raw_body(0)
  -- Where underscores are few, to look before each is quicker than a copy in lower case.
  local at, looks = body and body:find("_", 1, true), 0
  while at and looks < 50 and body:sub(at - 3, at):lower() ~= "jan_" do
    at, looks = body:find("_", at + 1, true), looks + 1
  end
  if looks == 50 and at then
    at = body:lower():find("jan_", at - 3, true)
  end
  if body and not at and not body:find("\\u00", 1, true) then
    return ""
  end
  return length <= 65536 and body or nil
end

-- The body with each edit made, which is {first, last, replacement}: positions as string.sub takes
-- them, in rising order, of the inside of a JSON string. Nil if one does not fit.
local function edited(body, edits)
  local pieces, done = {}, 0
  for _, edit in ipairs(body and edits or {}) do
    local first, last, replacement = edit[1], edit[2], edit[3]
    if type(replacement) ~= "string" or first <= done or last < first
       or body:byte(first - 1) ~= 34 or body:byte(last + 1) ~= 34 then -- 34 is the quote
      return nil
    end
    pieces[#pieces + 1], pieces[#pieces + 2] = body:sub(done + 1, first - 1), replacement
    done = last
  end
  pieces[#pieces + 1] = done > 0 and body:sub(done + 1) or nil
  return done > 0 and table.concat(pieces) or nil
end

-- Whatever is not decided is false. A request whose edits do not fit is never sent on half-edited,
-- or unedited.
local function apply(headers, groups, edits, consumer, credential)
  if edits then
    local body = edited(request.get_raw_body(0), edits)
    if not body then
      return response.exit(500, '{"error":{"type":"api_error","code":"internal_error",'
        .. '"message":"The request body could not be put together. Try again.","param":null}}',
        { ["Content-Type"] = "application/json" })
    end
    upstream.set_raw_body(body)
  end
  if headers then
    upstream.set_headers(headers)
  end
  if consumer then
    kong.client.authenticate(consumer, credential)
  end
  if groups then
    kong.ctx.shared.authenticated_groups = groups
  end
  local scheme = ngx.var.upstream_scheme
  if scheme:sub(1, #CLOSED) == CLOSED then
    ngx.var.upstream_scheme = scheme:sub(#CLOSED + 1)
  end
end

-- Kong keeps the first function that it finds under a name for as long as its worker lives, so this
-- one asks the request for that of its own configuration. Kong runs a plugin as a coroutine, and one
-- that yields is over: that is how kong.response.exit ends one, too. So nothing is sent back to
-- jan-media, and no answer of it awaited.
local function finish(...)
  kong.ctx.shared.jan_media_apply(...)
  coroutine.yield()
end

return function()
  local headers, shared = request.get_headers(1000), kong.ctx.shared
  shared.jan_media_apply, shared.jan_media_finish = apply, finish
  shared.jan_media_gathered = {
    headers = headers,
    body = body_for(headers["content-type"], tonumber(headers["content-length"])),
  }
  ngx.var.upstream_scheme = CLOSED .. ngx.var.upstream_scheme
end
