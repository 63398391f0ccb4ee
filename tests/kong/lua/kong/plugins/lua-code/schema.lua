local function code()
  return { type = "array", elements = { type = "string" } }
end

return {
  name = "lua-code",
  fields = {
    { config = {
        type = "record",
        fields = { { access = code() }, { header_filter = code() }, { body_filter = code() } },
    } },
  },
}
