local GUARDS = "Let a request reach the upstream only once jan-media has admitted it. false: for "
  .. "routes without jan-media, which then get error shape and request id alone."
local guards = { type = "boolean", required = true, default = true, description = GUARDS }

return {
  name = "jan-media-gate",
  fields = { { config = { type = "record", fields = { { guards = guards } } } } },
}
