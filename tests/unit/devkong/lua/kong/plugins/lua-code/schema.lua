local typedefs = require "kong.db.schema.typedefs"

local function code()
  return { type = "array", elements = { type = "string" } }
end

return {
  name = "lua-code",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = {
        type = "record",
        fields = {
          { rewrite = code() }, { access = code() }, { header_filter = code() },
          { body_filter = code() }, { log = code() },
        },
    } },
  },
}
