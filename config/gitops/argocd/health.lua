-- The health of every kind of iam-operator.dev, exactly as kstatus computes it from the same object:
-- Current is Healthy, Failed is Degraded, InProgress and Terminating are Progressing.

local function progressing(message)
  return { status = "Progressing", message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return progressing("Being deleted")
end

local status = obj.status or {}

-- -1 until the operator has seen the object; an older one while it has not seen the latest change.
if status.observedGeneration ~= obj.metadata.generation then
  return progressing("Waiting for the operator to see this generation")
end

local ready = nil
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Reconciling" and condition.status == "True" then
    return progressing(condition.message)
  end
  if condition.type == "Stalled" and condition.status == "True" then
    return { status = "Degraded", message = condition.message }
  end
  if condition.type == "Ready" then
    ready = condition
  end
end

if ready == nil then
  return progressing("Waiting for the operator")
end
if ready.status == "True" then
  return { status = "Healthy", message = ready.message }
end
-- Not ready, and not stalled: it waits for something, and resumes by itself.
return progressing(ready.message)
