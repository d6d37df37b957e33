-- Chanwire in Wireshark and tshark: frames put together across TCP segments, and fields to filter by.
--
--   tshark -X lua_script:chanwire.lua -r capture.pcapng -Y 'chanwire.error == "Invalid payload"'
--
-- Or copy it into the folder of personal Lua plugins (Help, About Wireshark, Folders). It takes TCP port 22236 and what
-- looks like the protocol on any other; more ports can be named in the preferences.
--
-- It finds frames by the rules of PROTOCOL.md. What a server would refuse for what a payload says is not told here:
-- `chanwire decode` tells that of the same capture.

local proto = Proto("chanwire", "Chanwire")

local f = {
  command = ProtoField.string("chanwire.command", "Command"),
  status = ProtoField.string("chanwire.status", "Status"),
  push = ProtoField.bool("chanwire.push", "Push"),
  error = ProtoField.string("chanwire.error", "Error"),
  details = ProtoField.string("chanwire.details", "Details"),
  retry_after = ProtoField.uint32("chanwire.retry_after", "Retry after", base.DEC),
  channel = ProtoField.string("chanwire.channel", "Channel"),
  username = ProtoField.string("chanwire.username", "Username"),
  account = ProtoField.string("chanwire.account", "Account"),
  message = ProtoField.string("chanwire.message", "Message"),
  client_message_id = ProtoField.string("chanwire.client_message_id", "Client message id"),
  timestamp = ProtoField.string("chanwire.timestamp", "Timestamp"),
  address = ProtoField.string("chanwire.address", "Peer server IP"),
  port = ProtoField.uint32("chanwire.port", "Peer server port", base.DEC),
  id = ProtoField.uint64("chanwire.id", "Id", base.DEC),
  connection = ProtoField.uint64("chanwire.connection", "Connection", base.DEC),
  peer = ProtoField.string("chanwire.peer", "Peer"),
  payload = ProtoField.string("chanwire.payload", "Payload"),
  skipped = ProtoField.bytes("chanwire.skipped", "Skipped"),
  length = ProtoField.uint32("chanwire.length", "Length", base.DEC),
}
proto.fields = f

local fault = ProtoExpert.new("chanwire.fault", "Fault", expert.group.MALFORMED, expert.severity.ERROR)
local refused = ProtoExpert.new("chanwire.refused", "Error answer", expert.group.RESPONSE_CODE, expert.severity.WARN)
proto.experts = { fault, refused }

proto.prefs.ports = Pref.range("TCP ports", "22236", "Ports of servers", 65535)

local stream_of = Field.new("tcp.stream")
local sequence_of, length_of = Field.new("tcp.seq"), Field.new("tcp.len")
-- Which of the packets that open and close a connection were captured. Wireshark has it since 3.6.
local has_completeness, completeness_of = pcall(Field.new, "tcp.completeness")
local raw_sequence_of = has_completeness and Field.new("tcp.seq_raw")
local SYN, SYN_ACK = 1, 2

-- Whether a payload follows.
local COMMANDS = {
  LIST = false, HOST = true, MESSAGE = true, UNHOST = true, JOIN = true, LEAVE = true, HISTORY = true,
  HELLO = true, AUTH = true, WHO = true, CHANNELS = true, DELETE = true, ROLE = true, SETTINGS = true,
  CONNECTIONS = true, DISCONNECT = true,
}
local STATUSES = { OK = true, REQUEST_ERROR = true, SERVER_ERROR = true }
-- What a server sends that answers nothing.
local PUSHES = { MESSAGE = true, NOTICE = true }

-- Members of payloads that have a field, wherever they stand.
local MEMBERS = {
  channel_name = f.channel, username = f.username, message_content = f.message, timestamp = f.timestamp,
  account = f.account,
  peer_server_ip = f.address, peer_server_port = f.port, id = f.id, error = f.error, details = f.details,
  connection = f.connection, peer = f.peer, retry_after = f.retry_after,
  client_message_id = f.client_message_id,
}

-- Those of them that are numbers, with the largest one that each can show.
local NUMBERS = {
  [f.port] = 0xffffffff, [f.retry_after] = 0xffffffff, [f.id] = 2 ^ 53, [f.connection] = 2 ^ 53,
}

local MAX_HEAD, MAX_DEPTH, MAX_REQUEST = 32, 64, 65536
local LF, CR, SPACE, TAB, QUOTE, BACKSLASH = 10, 13, 32, 9, 34, 92
local OPENS = { [123] = 125, [91] = 93 }

-- By stream: the server's port; by its direction the frame after which a fault has ended it, and how far the value that
-- is still arriving was looked through.
local servers, closed, arriving = {}, {}, {}

-- By stream and direction: the sequence number at which the next buffer begins if nothing is lost, whether a frame's first
-- byte is looked for, and the frames in which it is.
local expected, seeking, lost = {}, {}, {}

function proto.init()
  servers, closed, arriving = {}, {}, {}
  expected, seeking, lost = {}, {}, {}
end

local function is_space(byte)
  return byte == SPACE or byte == TAB or byte == CR or byte == LF
end

local function after_space(bytes, at)
  while at < bytes:len() and is_space(bytes:byte(at + 1)) do at = at + 1 end
  return at
end

-- Where the object or array that starts at `start` ends: its end, or nil and what is wrong, or nil where more is to
-- come. What it was found to be so far is in `scan`, so that with more bytes it goes on from there: the bytes given may begin
-- later, at `offset`.
local function after_value(bytes, offset, start, most, scan)
  local stack, depth, quoted, at = scan.stack, scan.depth, scan.quoted, start + scan.length
  local all = offset + bytes:len()
  while true do
    -- Nothing between two of these can matter.
    local found = bytes:find(quoted and '["\\]' or '["%[%]{}]', at - offset + 1)
    local reached = (found and found + offset or all + 1) - 1 - start
    if most and reached >= most then return nil, "The payload is too large" end
    if not found then
      scan.length, scan.depth, scan.quoted = math.max(at, all) - start, depth, quoted
      return nil
    end
    local byte = bytes:byte(found)
    at = found + offset
    if byte == BACKSLASH then
      at = at + 1
    elseif byte == QUOTE then
      quoted = not quoted
    elseif OPENS[byte] then
      depth = depth + 1
      if depth > MAX_DEPTH then return nil, "The payload nests deeper than 64" end
      stack[depth] = OPENS[byte]
    else
      if stack[depth] ~= byte then return nil, "The payload's brackets do not match" end
      depth = depth - 1
      if depth == 0 then return at end
    end
  end
end

-- An item that ends with a value: whole, or what is wrong with it, or nothing but what is known of it so far.
local function with_value(item, bytes, offset, start, most, scan)
  scan = scan or { length = 0, depth = 0, quoted = false, stack = {} }
  local stop, wrong = after_value(bytes, offset, start, most, scan)
  if wrong then
    return { stop = offset + bytes:len(), kind = "fault", head = item.head, wrong = wrong, closes = true }
  end
  if not stop then return nil, { item = item, start = start, most = most, scan = scan } end
  item.stop = stop
  return item
end

-- What is compared of bytes that come again with more after them: enough of both ends to tell them from others.
local SAMPLE = 64

-- Keeps what is known of an item that is still arriving, from `at` to the end of the buffer. It will come again at the
-- front of one.
local function keep(key, buffer, at, known)
  if not known then return end
  local length = buffer:len() - at
  local sample = math.min(SAMPLE, length)
  known.length, known.first, known.last = length, buffer:raw(at, sample), buffer:raw(buffer:len() - sample, sample)
  known.start = known.start - at
  if known.item.head_stop then known.item.head_stop = known.item.head_stop - at end
  if known.item.payload then known.item.payload = known.item.payload - at end
  arriving[key] = known
end

-- What was known of the item at the front of a buffer when less of it was there. Only while a file is read for the
-- first time do its bytes come in order, and come to grow.
local function kept(key, buffer, pinfo)
  local known = arriving[key]
  arriving[key] = nil
  if not known or pinfo.visited or buffer:len() < known.length then return nil end
  local is_same = buffer:raw(0, #known.first) == known.first
    and buffer:raw(known.length - #known.last, #known.last) == known.last
  return is_same and known or nil
end

-- Asks for the bytes from `at` to the end of the buffer again, with the next segment after them. If there is none, this
-- is all there is of them.
local function ask_for_more(key, buffer, pinfo, at)
  pinfo.desegment_offset = at
  pinfo.desegment_len = DESEGMENT_ONE_MORE_SEGMENT
  if not pinfo.visited and expected[key] then
    expected[key] = (expected[key] - (buffer:len() - at)) % 2 ^ 32
  end
end

-- Whether the bytes of a buffer do not follow what came before: a segment was lost, or the capture begins inside of the
-- connection. Then they may begin anywhere in a frame.
local function is_lost(key, buffer, pinfo, from_server)
  lost[key] = lost[key] or {}
  if pinfo.visited then return lost[key][pinfo.number] end
  local sequence, length = sequence_of(), length_of()
  if not sequence or not length then return false end
  local stop = (sequence.value + length.value) % 2 ^ 32
  local start = (stop - buffer:len()) % 2 ^ 32
  local found = seeking[key]
  if expected[key] then
    found = found or start ~= expected[key]
  elseif has_completeness then
    local seen, raw = completeness_of(), raw_sequence_of()
    if seen and math.floor(seen.value / (from_server and SYN_ACK or SYN)) % 2 == 0 then
      found = true
    elseif seen and raw and raw.value ~= sequence.value then
      -- Numbers count from the SYN, unless the preferences say otherwise.
      found = found or start ~= 1
    end
  end
  expected[key] = stop
  if found then
    arriving[key] = nil
    lost[key][pinfo.number] = true
  end
  return found
end

-- Where the first known word stands that a CRLF follows: no payload has a CRLF after a word, since in a string it is
-- escaped.
local function first_frame(bytes, from_server)
  local from = 1
  while true do
    local found = bytes:find("\r\n", from, true)
    if not found then return nil end
    local start, word = bytes:sub(math.max(1, found - MAX_HEAD - 1), found - 1):match("()([%a_]+)$")
    if word then
      local known = COMMANDS[word] ~= nil
      if from_server then known = STATUSES[word] or PUSHES[word] end
      if known then return math.max(1, found - MAX_HEAD - 1) + start - 2 end
    end
    from = found + 2
  end
end

local function utf8_of(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xc0 + math.floor(code / 0x40), 0x80 + code % 0x40) end
  if code < 0x10000 then
    return string.char(0xe0 + math.floor(code / 0x1000), 0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return string.char(
    0xf0 + math.floor(code / 0x40000),
    0x80 + math.floor(code / 0x1000) % 0x40,
    0x80 + math.floor(code / 0x40) % 0x40,
    0x80 + code % 0x40
  )
end

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

-- What a string says, without its quotes.
local function decoded(text)
  text = text:gsub("\\u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", function(high, low)
    return utf8_of(0x10000 + (tonumber(high, 16) - 0xd800) * 0x400 + tonumber(low, 16) - 0xdc00)
  end)
  return (text:gsub("\\(u?)(%x?%x?%x?%x?)(.?)", function(unicode, digits, rest)
    if unicode == "u" and #digits == 4 then return utf8_of(tonumber(digits, 16)) .. rest end
    local said = unicode .. digits .. rest
    return (ESCAPES[said:sub(1, 1)] or said:sub(1, 1)) .. said:sub(2)
  end))
end

-- Where the string that starts with a quote here ends.
local function after_string(text, at)
  at = at + 1
  while at <= #text do
    local byte = text:byte(at)
    if byte == BACKSLASH then
      at = at + 1
    elseif byte == QUOTE then
      return at + 1
    end
    at = at + 1
  end
  return at
end

-- Adds what a member says. What should be a number and is none can only be shown as part of the payload.
local function add_member(tree, field, range, value)
  local most = NUMBERS[field]
  if not most then
    tree:add(field, range, value)
    return
  end
  local number = value:match("^%d+$") and tonumber(value)
  if number and number <= most then
    number = math.floor(number)
    tree:add(field, range, field == f.id and UInt64(number % 2 ^ 32, math.floor(number / 2 ^ 32)) or number)
  end
end

-- Adds the known members of a payload to the tree; returns what they say, by name.
local function members(range, tree)
  local text = range:raw()
  local found, at = {}, 1
  while at <= #text do
    if text:byte(at) == QUOTE then
      local stop = after_string(text, at)
      local colon = text:match("^[ \t\r\n]*:[ \t\r\n]*()", stop)
      local name = colon and decoded(text:sub(at + 1, stop - 2))
      local field = name and MEMBERS[name]
      at = colon or stop
      if field then
        local value
        if text:byte(at) == QUOTE then
          stop = after_string(text, at)
          value = decoded(text:sub(at + 1, stop - 2))
        else
          stop = text:match("^[-+.%w]+()", at) or at
          value = stop > at and text:sub(at, stop - 1) or nil
        end
        if value then
          add_member(tree, field, range(at - 1, stop - at), value)
          found[name] = found[name] or value
          at = stop
        end
      end
    else
      at = text:find('"', at, true) or #text + 1
    end
  end
  return found
end

local function shown(text)
  if #text > 60 then text = text:sub(1, 57) .. "..." end
  return (text:gsub("%c", "."))
end

local function summary(head, found)
  local parts = { head }
  if found.error then parts[#parts + 1] = found.error end
  if found.username then parts[#parts + 1] = found.username .. ":" end
  if found.message_content then
    parts[#parts + 1] = found.message_content
  elseif found.channel_name then
    parts[#parts + 1] = found.channel_name
  end
  return shown(table.concat(parts, " "))
end

-- One thing at an offset of the bytes: where it ends and how to show it. Nothing where more is to come, and then what
-- is known of it if that is worth keeping.
local function next_item(bytes, at, from_server)
  local first = bytes:byte(at + 1)
  if is_space(first) then return { stop = after_space(bytes, at), kind = "space" } end
  local most = not from_server and MAX_REQUEST or nil
  if OPENS[first] then
    return with_value({ kind = "object" }, bytes, 0, at, most)
  end
  local stop = at
  while stop < bytes:len() and stop - at <= MAX_HEAD do
    local byte = bytes:byte(stop + 1)
    if not (byte == 95 or byte >= 65 and byte <= 90 or byte >= 97 and byte <= 122) then break end
    stop = stop + 1
  end
  local length = stop - at
  if length > MAX_HEAD then
    return { stop = bytes:len(), kind = "fault", wrong = "A command has at most 32 letters", closes = true }
  end
  if stop == bytes:len() then return nil end
  local byte = bytes:byte(stop + 1)
  local head = length > 0 and bytes:sub(at + 1, at + length) or ""
  if length > 0 and byte == LF then
    return { stop = stop + 1, kind = "fault", head = head, wrong = "A command must end with \\r\\n, found a bare \\n" }
  end
  if length == 0 or byte ~= CR then
    return { stop = bytes:len(), kind = "fault", head = head, wrong = "No command ends or begins so", closes = true }
  end
  if stop + 1 == bytes:len() then return nil end
  if bytes:byte(stop + 2) ~= LF then
    return { stop = stop + 1, kind = "fault", head = head, wrong = "A command must end with \\r\\n, found a bare \\r" }
  end
  local item = { stop = stop + 2, kind = "frame", head = head, head_stop = stop }
  local takes_payload
  if from_server then
    takes_payload = STATUSES[head] or PUSHES[head]
  else
    takes_payload = COMMANDS[head]
  end
  if takes_payload == nil then
    item.kind, item.wrong, item.closes = "fault", "Unknown command", from_server
    return item
  end
  if not takes_payload then return item end
  local start = after_space(bytes, item.stop)
  if start == bytes:len() then return nil end
  if not OPENS[bytes:byte(start + 1)] then
    return { stop = bytes:len(), kind = "fault", head = head, wrong = "A payload is one JSON object", closes = true }
  end
  item.payload = start
  return with_value(item, bytes, 0, start, most)
end

-- Adds an item of a buffer to the tree; returns what the info column says of it.
local function show(buffer, at, item, from_server, tree)
  local range = buffer(at, item.stop - at)
  if item.kind == "space" then return nil end
  local sub = tree:add(proto, range)
  if item.kind == "object" then
    sub:set_text("Chanwire, an object that belongs to no frame")
    sub:add(f.skipped, range)
    return nil
  end
  local head = item.head or ""
  if item.kind == "fault" then
    sub:set_text("Chanwire fault: " .. item.wrong)
    if head ~= "" then sub:add(from_server and f.status or f.command, buffer(at, #head), head) end
    sub:add_proto_expert_info(fault, item.wrong)
    return "! " .. shown(head ~= "" and head or item.wrong)
  end
  local is_push = from_server and PUSHES[head]
  sub:add((from_server and not is_push) and f.status or f.command, buffer(at, item.head_stop - at), head)
  if is_push then sub:add(f.push, true):set_generated() end
  local found = {}
  if item.payload then
    local payload = buffer(item.payload, item.stop - item.payload)
    sub:add(f.payload, payload)
    found = members(payload, sub)
  end
  sub:add(f.length, range:len()):set_generated()
  local line = summary(head, found)
  sub:set_text("Chanwire " .. line .. ", " .. range:len() .. " bytes")
  if head == "REQUEST_ERROR" or head == "SERVER_ERROR" then
    sub:add_proto_expert_info(refused, found.error or head)
  end
  return (is_push and "push " or "") .. line
end

local function dissect(buffer, pinfo, tree, server_port)
  local from_server = pinfo.src_port == server_port
  local stream = stream_of()
  local key = (stream and tostring(stream.value) or "") .. (from_server and "<" or ">")
  local at, info = 0, {}
  pinfo.cols.protocol = "Chanwire"
  if is_lost(key, buffer, pinfo, from_server) then
    local found = first_frame(buffer():raw(), from_server)
    if not pinfo.visited then seeking[key] = not found end
    -- A word may have come in part.
    at = found or math.max(0, buffer:len() - MAX_HEAD - 1)
    if at > 0 then
      local sub = tree:add(proto, buffer(0, at), "Chanwire, before the first frame after a gap")
      sub:add(f.skipped, buffer(0, at))
    end
    if not found then
      return ask_for_more(key, buffer, pinfo, at)
    end
  end
  local known, bytes = kept(key, buffer, pinfo), nil
  while at < buffer:len() do
    local ended = closed[key]
    if ended and (pinfo.number > ended.number or pinfo.number == ended.number and at >= ended.at) then
      local sub = tree:add(proto, buffer(at), "Chanwire, discarded after the connection's last frame")
      sub:add(f.skipped, buffer(at))
      break
    end
    local item, more
    if known then
      -- Only what is new is looked at, however much there was.
      local fresh = buffer:len() > known.length and buffer:raw(known.length) or ""
      item, more = with_value(known.item, fresh, known.length, known.start, known.most, known.scan)
      known = nil
    else
      bytes = bytes or buffer():raw()
      item, more = next_item(bytes, at, from_server)
    end
    if not item then
      if not pinfo.visited then keep(key, buffer, at, more) end
      ask_for_more(key, buffer, pinfo, at)
      if #info > 0 then pinfo.cols.info = table.concat(info, ", ") end
      return
    end
    if item.closes then
      -- To the fault itself the rest of this piece belongs as well.
      closed[key] = ended or { number = pinfo.number, at = item.stop }
    end
    info[#info + 1] = show(buffer, at, item, from_server, tree)
    at = item.stop
  end
  if #info > 0 then pinfo.cols.info = table.concat(info, ", ") end
end

function proto.dissector(buffer, pinfo, tree)
  local stream = stream_of()
  local server = stream and servers[stream.value]
  if not server then
    server = pinfo.match_uint
    if server ~= pinfo.src_port and server ~= pinfo.dst_port then server = pinfo.dst_port end
  end
  dissect(buffer, pinfo, tree, server)
  return buffer:len()
end

-- On another port: the first word tells, and it tells who is the server.
local function heuristic(buffer, pinfo, tree)
  local stream = stream_of()
  if not stream then return false end
  if not servers[stream.value] then
    local text = buffer(0, math.min(buffer:len(), MAX_HEAD + 2)):raw()
    local word = text:match("^[ \t\r\n]*([A-Z_]+)\r\n")
    if not word then return false end
    if STATUSES[word] then
      servers[stream.value] = pinfo.src_port
    elseif COMMANDS[word] ~= nil then
      servers[stream.value] = pinfo.dst_port
    else
      return false
    end
  end
  pinfo.conversation = proto
  dissect(buffer, pinfo, tree, servers[stream.value])
  return true
end
proto:register_heuristic("tcp", heuristic)

local tcp_port = DissectorTable.get("tcp.port")
local registered = ""
function proto.prefs_changed()
  if registered ~= "" then tcp_port:remove(registered, proto) end
  registered = proto.prefs.ports
  if registered ~= "" then tcp_port:add(registered, proto) end
end
registered = proto.prefs.ports
tcp_port:add(registered, proto)
