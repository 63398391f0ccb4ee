local GUARDS = "Hold requests until jan-media admits them. Set false on routes without jan-media."
local guards = { type = "boolean", required = true, default = true, description = GUARDS }

return {
  name = "jan-media-gate",
  fields = { { config = { type = "record", fields = { { guards = guards } } } } },
}
