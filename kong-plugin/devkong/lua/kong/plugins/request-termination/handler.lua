-- request-termination: answers every request itself.
local RequestTermination = { VERSION = "0", PRIORITY = 2 }

local MESSAGES = {
  [401] = "Unauthorized",
  [404] = "Not found",
  [405] = "Method not allowed",
  [500] = "An unexpected error occurred",
  [502] = "Bad Gateway",
  [503] = "Service unavailable",
}

function RequestTermination:access(conf)
  if conf.body then
    local headers = conf.content_type and { ["Content-Type"] = conf.content_type }
    return kong.response.exit(conf.status_code, conf.body, headers)
  end
  local message = conf.message or MESSAGES[conf.status_code]
  return kong.response.exit(conf.status_code, message and { message = message })
end

return RequestTermination
