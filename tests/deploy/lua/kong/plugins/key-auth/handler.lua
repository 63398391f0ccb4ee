-- For devkong, which has no key-auth: one key, one consumer. Real Kong uses its own.
local KeyAuth = { VERSION = "0", PRIORITY = 1250 }

function KeyAuth:access()
  if kong.request.get_header("apikey") ~= "key-of-the-shop" then
    return kong.response.exit(401, { message = "Unauthorized" })
  end
  local id = "7d1a4a3e-3f0e-4b0c-8a3c-0d2c5f1b9e11"
  kong.client.authenticate({ id = id, username = "shop" }, { id = id, consumer_id = id })
end

return KeyAuth
