-- Does what jan-media decided for a request: sets headers, and puts URLs in the place of media ids.
-- Then it opens the way to the upstream, which gather.lua has closed. For a post-function, phase
-- access, on a route with `lua: true`.
-- Without a decision jan-media has not come to its end: the request is refused.
-- Each edit is {first, last, replacement}: positions as string.sub takes them, in rising order,
-- of the inside of a JSON string. Whatever does not fit ends the request: it is never sent on
-- half-edited, or unedited.
local shared = kong.ctx.shared
local decided = shared.jan_media or (shared.authenticated_groups or {}).jan_media
if not decided then
  return kong.response.exit(503, '{"error":{"type":"api_error","code":"service_unavailable",'
    .. '"message":"The gateway could not look at this request. Try again.","param":null}}',
    { ["Content-Type"] = "application/json", ["Retry-After"] = "1" })
end
if decided.headers then
  kong.service.request.set_headers(decided.headers)
end
if decided.edits then
  local body, pieces, done = kong.request.get_raw_body(0), {}, 0
  for _, edit in ipairs(body and decided.edits or {}) do
    local first, last, replacement = edit[1], edit[2], edit[3]
    if type(replacement) ~= "string" or first <= done or last < first
       or body:byte(first - 1) ~= 34 or body:byte(last + 1) ~= 34 then -- 34 is the quote
      body = nil
      break
    end
    pieces[#pieces + 1], pieces[#pieces + 2] = body:sub(done + 1, first - 1), replacement
    done = last
  end
  if not body or done == 0 then
    return kong.response.exit(500, '{"error":{"type":"api_error","code":"internal_error",'
      .. '"message":"The request body could not be put together. Try again.","param":null}}',
      { ["Content-Type"] = "application/json" })
  end
  pieces[#pieces + 1] = body:sub(done + 1)
  kong.service.request.set_raw_body(table.concat(pieces))
end
local scheme = ngx.var.upstream_scheme
if scheme:sub(1, 7) == "closed-" then
  ngx.var.upstream_scheme = scheme:sub(8)
end
