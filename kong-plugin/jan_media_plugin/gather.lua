-- Gathers what jan-media asks of every request, so that it asks Kong once, and closes the way to the
-- upstream. For a pre-function, phase access, on a route with `lua: true`. A body goes along only if
-- it may hold a media id (the test is that of rewrite/candidates.py): one that cannot is not moved.
-- Nobody knows yet who is calling, so a long body, and one of unknown length, is left for jan-media
-- to ask for.
local headers, body = kong.request.get_headers(1000), nil
local media_type, length = headers["content-type"], tonumber(headers["content-length"])
if type(media_type) == "string" and media_type:lower():find("json", 1, true)
   and length and length <= 1048576 then
  body = kong.request.get_raw_body(0)
  -- Where underscores are few, to look before each is quicker than a copy in lower case.
  local at, looks = body and body:find("_", 1, true), 0
  while at and looks < 50 and body:sub(at - 3, at):lower() ~= "jan_" do
    at, looks = body:find("_", at + 1, true), looks + 1
  end
  if looks == 50 and at then
    at = body:lower():find("jan_", at - 3, true)
  end
  if body and not at and not body:find("\\u00", 1, true) then
    body = ""
  elseif length > 65536 then
    body = nil
  end
end
kong.ctx.shared.jan_media_request = { headers = headers, body = body }
-- No upstream can be reached by this; apply.lua takes it back. So a route that has lost its
-- post-function answers 500, and never sends on what jan-media has not done its part for.
ngx.var.upstream_scheme = "closed-" .. ngx.var.upstream_scheme
