return {
  name = "jan-media-gate",
  fields = {
    { config = {
        type = "record",
        fields = {
          { guards = {
              type = "boolean",
              required = true,
              default = true,
              description = "Let a request reach the upstream only once jan-media has admitted it. "
                .. "false is for routes without jan-media: they get error shape and request id.",
          } },
        },
    } },
  },
}
