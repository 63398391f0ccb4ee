-- acl: admits only callers of the allowed groups. In devkong, consumers have no groups.
local Acl = { VERSION = "0", PRIORITY = 950 }

-- The groups that an authenticating plugin has left, in either place.
local function authenticated_groups()
  for _, groups in ipairs({ kong.ctx.shared.authenticated_groups or false,
                            ngx.ctx.authenticated_groups or false }) do
    if type(groups) == "table" then
      return groups
    end
  end
end

local function contains(groups, wanted)
  for _, group in ipairs(groups) do
    if group == wanted then
      return true
    end
  end
end

local function in_any(listed, groups)
  for _, group in ipairs(listed) do
    if contains(groups, group) then
      return true
    end
  end
  return false
end

local function refuse(credential)
  if credential then
    return kong.response.error(403, "You cannot consume this service")
  end
  return kong.response.error(401)
end

function Acl:access(conf)
  local consumer, credential = kong.client.get_consumer(), kong.client.get_credential()
  local is_known = (consumer and consumer.id) or (credential and credential.consumer_id)
  local groups, header = nil, "X-Authenticated-Groups"
  if not is_known or not credential or conf.always_use_authenticated_groups then
    groups = authenticated_groups()
  end
  local denies = conf.deny and #conf.deny > 0
  if not groups then
    if not is_known or not denies then
      return refuse(credential)
    end
    groups, header = {}, "X-Consumer-Groups"
  end
  if in_any(denies and conf.deny or conf.allow or {}, groups) == (denies or false) then
    return refuse(true)
  end
  if not conf.hide_groups_header then
    kong.service.request.set_header(header, table.concat(groups, ", "))
  end
end

return Acl
