-- Counts the body of a request and ends it when there is more of it than the backend's rules
-- have written into txn.max_body. An error is the only way in which HAProxy lets a filter
-- end a request whose body is on its way; the rules make 413 of its 400.
local Body = {id = "body", flags = filter.FLT_CFG_FL_HTX}
Body.__index = Body

function Body:new()
  return setmetatable({seen = 0}, Body)
end

function Body:start_analyze(txn, channel)
  if not channel:is_resp() then
    filter.register_data_filter(self, channel)
  end
end

function Body:http_payload(txn, message)
  local arrived = message:input()
  self.seen = self.seen + arrived
  local most = txn:get_var("txn.max_body")
  if self.seen > most then
    -- What has arrived is more than data: the end of the message counts too.
    self.seen = self.seen - arrived + #(message:body() or "")
  end
  if self.seen > most then
    txn:set_var("txn.long_body", true)
    error("the body of a request is longer than com.df.maxBody allows", 0)
  end
  message:forward(arrived)
end

core.register_filter("waggle_body", Body, function(class) return class end)
