local groups = { type = "array", elements = { type = "string" } }
local off = { type = "boolean", required = true, default = false }

return {
  name = "acl",
  fields = {
    { config = { type = "record", fields = {
      { allow = groups },
      { deny = groups },
      { hide_groups_header = off },
      { always_use_authenticated_groups = off },
    } } },
  },
  entity_checks = { { only_one_of = { "config.allow", "config.deny" } } },
}
