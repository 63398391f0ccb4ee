local limit = { type = "number", gt = 0 }

return {
  name = "rate-limiting",
  fields = {
    { config = { type = "record", fields = {
      { second = limit },
      { minute = limit },
      { hour = limit },
      { day = limit },
      { limit_by = { type = "string", default = "consumer",
                     one_of = { "consumer", "credential", "ip" } } },
      { policy = { type = "string", default = "local", one_of = { "local" } } },
      { hide_client_headers = { type = "boolean", required = true, default = false } },
      { error_code = { type = "number", default = 429, gt = 0 } },
      { error_message = { type = "string", default = "API rate limit exceeded" } },
    } } },
  },
  entity_checks = {
    { at_least_one_of = { "config.second", "config.minute", "config.hour", "config.day" } },
  },
}
