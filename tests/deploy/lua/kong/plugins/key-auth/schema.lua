return { name = "key-auth", fields = { { config = { type = "record", fields = {} } } } }
