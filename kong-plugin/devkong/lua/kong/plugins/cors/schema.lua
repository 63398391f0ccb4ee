local methods = { "GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT" }
local strings = { type = "array", elements = { type = "string" } }
local off = { type = "boolean", required = true, default = false }
local origin = {
  type = "string",
  pattern = "^(\\*|[A-Za-z0-9.:/-]+)$",
  pattern_says = "devkong supports * and origins that are not a regex",
}

return {
  name = "cors",
  fields = {
    { config = { type = "record", fields = {
      { origins = { type = "array", elements = origin } },
      { headers = strings },
      { exposed_headers = strings },
      { methods = { type = "array", default = methods,
                    elements = { type = "string", one_of = methods } } },
      { max_age = { type = "number" } },
      { credentials = off },
    } } },
  },
}
