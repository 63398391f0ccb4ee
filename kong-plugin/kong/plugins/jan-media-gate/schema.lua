local GUARDS = "Hold requests back until jan-media admits them. false: on routes without jan-media."
local guards = { type = "boolean", required = true, default = true, description = GUARDS }

return {
  name = "jan-media-gate",
  fields = { { config = { type = "record", fields = { { guards = guards } } } } },
}
