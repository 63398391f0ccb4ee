-- Tells jan-media that a JSON body holds no media id, so that it need not be sent the body: a chat
-- without ids then costs one call less. Optional; for a pre-function, phase access, on a route with
-- `resolve: true`. It reads the body before anybody knows who is calling.
-- The test is that of rewrite/candidates.py. A client that sends the header itself only keeps its
-- own ids from being resolved; the upstream never sees the header.
local media_type = kong.request.get_header("content-type")
if media_type and media_type:lower():find("json", 1, true) then
  local body = kong.request.get_raw_body(0)
  if body and not body:find("\\u00", 1, true) and not body:lower():find("jan_", 1, true) then
    kong.service.request.set_header("X-Jan-Media-Ids", "none")
  else
    kong.service.request.clear_header("X-Jan-Media-Ids")
  end
end
