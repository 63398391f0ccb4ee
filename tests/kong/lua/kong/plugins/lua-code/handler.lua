-- A plugin for tests: each phase runs the code that its config gives for the phase.
local LuaCode = { VERSION = "1.0.0", PRIORITY = 1000000 }
local compiled = {}

local function run(codes)
  for _, code in ipairs(codes or {}) do
    compiled[code] = compiled[code] or assert(load(code, "=lua-code"))
    local result = compiled[code]()
    if type(result) == "function" then
      compiled[code] = result
      result()
    end
  end
end

for _, phase in ipairs({ "access", "header_filter", "body_filter" }) do
  LuaCode[phase] = function(_, conf) run(conf[phase]) end
end

return LuaCode
