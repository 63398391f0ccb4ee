-- rate-limiting, with the counters in this process (policy local).
local RateLimiting = { VERSION = "0", PRIORITY = 910 }

local WINDOWS = { { "second", 1 }, { "minute", 60 }, { "hour", 3600 }, { "day", 86400 } }
local counters, swept = {}, 0

local function counter(now, window, ...)
  local ends = now - now % window + window
  local key = table.concat({ window, ends, ... }, " ")
  counters[key] = counters[key] or { count = 0, ends = ends }
  return counters[key]
end

local function sweep(now)
  if now > swept + 60 then
    swept = now
    for key, each in pairs(counters) do
      if each.ends <= now then
        counters[key] = nil
      end
    end
  end
end

local function identifier(limit_by)
  local who = limit_by == "consumer" and kong.client.get_consumer()
    or limit_by ~= "ip" and kong.client.get_credential()
  return who and who.id or kong.client.get_ip()
end

local function set_headers(limits, stopped_by)
  local tightest
  for _, each in ipairs(limits) do
    local counts = not stopped_by or stopped_by == each
    each.shown = math.max(0, each.left - (counts and 1 or 0))
    local name = each.period:gsub("^%l", string.upper)
    kong.response.set_header("X-RateLimit-Limit-" .. name, each.limit)
    kong.response.set_header("X-RateLimit-Remaining-" .. name, each.shown)
    if not tightest or each.shown <= tightest.shown then
      tightest = each
    end
  end
  kong.response.set_header("RateLimit-Limit", tightest.limit)
  kong.response.set_header("RateLimit-Remaining", tightest.shown)
  kong.response.set_header("RateLimit-Reset", tightest.reset)
  if stopped_by then
    kong.response.set_header("Retry-After", tightest.reset)
  end
end

function RateLimiting:access(conf)
  local now, limits, stopped_by = math.floor(ngx.now()), {}, nil
  local who = identifier(conf.limit_by)
  sweep(now)
  for _, window in ipairs(WINDOWS) do
    local period, seconds = window[1], window[2]
    local limit = conf[period]
    if limit then
      local seen = counter(now, seconds, conf.route_id or "", conf.service_id or "", who)
      limits[#limits + 1] = { period = period, limit = limit, seen = seen,
                              left = limit - seen.count, reset = seen.ends - now }
      stopped_by = limit - seen.count <= 0 and limits[#limits] or stopped_by
    end
  end
  if not conf.hide_client_headers then
    set_headers(limits, stopped_by)
  end
  if stopped_by then
    return kong.response.error(conf.error_code, conf.error_message)
  end
  for _, each in ipairs(limits) do
    each.seen.count = each.seen.count + 1
  end
end

return RateLimiting
