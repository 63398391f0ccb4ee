-- cors: answers preflight requests, and tells browsers which origins may read answers.
local Cors = { VERSION = "0", PRIORITY = 2000 }

local response = kong.response

-- Sets the headers that say which origin may read the answer, and whether with credentials.
local function allow_origin(conf)
  local origins, sent = conf.origins or {}, kong.request.get_header("origin")
  local any = #origins == 0
  for _, origin in ipairs(origins) do
    any = any or origin == "*"
  end
  local allowed = any and "*" or #origins == 1 and origins[1] or nil
  for _, origin in ipairs(origins) do
    allowed = allowed or (origin == sent and sent or nil)
  end
  if not any or conf.credentials then
    response.add_header("Vary", "Origin")
  end
  if any and conf.credentials and sent then
    allowed = sent
  end
  if allowed then
    response.set_header("Access-Control-Allow-Origin", allowed)
  else
    response.clear_header("Access-Control-Allow-Origin")
  end
  if conf.credentials and (not any or sent) then
    response.set_header("Access-Control-Allow-Credentials", "true")
  end
end

function Cors:access(conf)
  local get_header = kong.request.get_header
  if kong.request.get_method() ~= "OPTIONS" or not get_header("origin")
     or not get_header("access-control-request-method") then
    return
  end
  kong.ctx.plugin.is_preflight = true
  allow_origin(conf)
  local asked = get_header("access-control-request-headers")
  if conf.headers or asked then
    local headers = conf.headers and table.concat(conf.headers, ",") or asked
    response.set_header("Access-Control-Allow-Headers", headers)
  end
  response.set_header("Access-Control-Allow-Methods", table.concat(conf.methods, ","))
  if conf.max_age then
    response.set_header("Access-Control-Max-Age", conf.max_age)
  end
  return response.exit(200)
end

function Cors:header_filter(conf)
  if kong.ctx.plugin.is_preflight then
    return
  end
  allow_origin(conf)
  if conf.exposed_headers then
    local exposed = table.concat(conf.exposed_headers, ",")
    response.set_header("Access-Control-Expose-Headers", exposed)
  end
end

return Cors
