--- Text as grapheme clusters (what a person takes for one character), with the width of each on a terminal.
---
--- A small set of the rules of UAX #29: marks, variation selectors, tags and joiners go with what is before them; emoji are joined
--- by U+200D and take skin tones; two regional indicators are a flag; jamo make a syllable of Hangul. Not covered: spacing vowel
--- signs and conjuncts of the scripts of India (each code point is a unit of its own), prepended signs, several leading jamo in
--- a row. Widths are those of terminals that support clusters. Others draw a family of emoji as its members side by side, so the
--- editor sets the cursor's column after each such cluster (term/render.lua).

local M = {}

--- Ranges of code points, as hexadecimal numbers. Unicode 14, categories Mn, Me, Cf, Zl, Zp, and the jamo that follow others.
local ZERO = [[
300-36F 483-489 591-5BD 5BF 5C1-5C2 5C4-5C5 5C7 610-61A 61C 64B-65F 670 6D6-6DC 6DF-6E4 6E7-6E8 6EA-6ED 711 730-74A 7A6-7B0
7EB-7F3 7FD 816-819 81B-823 825-827 829-82D 859-85B 898-89F 8CA-8E1 8E3-902 93A 93C 941-948 94D 951-957 962-963 981 9BC 9C1-9C4
9CD 9E2-9E3 9FE-A02 A3C A41-A51 A70-A71 A75 A81-A82 ABC AC1-AC8 ACD AE2-AE3 AFA-B01 B3C B3F B41-B44 B4D-B56 B62-B63 B82 BC0 BCD
C00 C04 C3C C3E-C40 C46-C56 C62-C63 C81 CBC CBF CC6 CCC-CCD CE2-CE3 D00-D01 D3B-D3C D41-D44 D4D D62-D63 D81 DCA DD2-DD6 E31
E34-E3A E47-E4E EB1 EB4-EBC EC8-ECD F18-F19 F35 F37 F39 F71-F7E F80-F84 F86-F87 F8D-FBC FC6 102D-1030 1032-1037 1039-103A
103D-103E 1058-1059 105E-1060 1071-1074 1082 1085-1086 108D 109D 1160-11FF 135D-135F 1712-1714 1732-1733 1752-1753 1772-1773
17B4-17B5 17B7-17BD 17C6 17C9-17D3 17DD 180B-180F 1885-1886 18A9 1920-1922 1927-1928 1932 1939-193B 1A17-1A18 1A1B 1A56
1A58-1A60 1A62 1A65-1A6C 1A73-1A7F 1AB0-1B03 1B34 1B36-1B3A 1B3C 1B42 1B6B-1B73 1B80-1B81 1BA2-1BA5 1BA8-1BA9 1BAB-1BAD 1BE6
1BE8-1BE9 1BED 1BEF-1BF1 1C2C-1C33 1C36-1C37 1CD0-1CD2 1CD4-1CE0 1CE2-1CE8 1CED 1CF4 1CF8-1CF9 1DC0-1DFF 200B-200F 2028-202E
2060-206F 20D0-20F0 2CEF-2CF1 2D7F 2DE0-2DFF 302A-302D 3099-309A A66F-A672 A674-A67D A69E-A69F A6F0-A6F1 A802 A806 A80B
A825-A826 A82C A8C4-A8C5 A8E0-A8F1 A8FF A926-A92D A947-A951 A980-A982 A9B3 A9B6-A9B9 A9BC-A9BD A9E5 AA29-AA2E AA31-AA32
AA35-AA36 AA43 AA4C AA7C AAB0 AAB2-AAB4 AAB7-AAB8 AABE-AABF AAC1 AAEC-AAED AAF6 ABE5 ABE8 ABED D7B0-D7FB FB1E FE00-FE0F
FE20-FE2F FEFF FFF9-FFFB 101FD 102E0 10376-1037A 10A01-10A0F 10A38-10A3F 10AE5-10AE6 10D24-10D27 10EAB-10EAC 10F46-10F50
10F82-10F85 11001 11038-11046 11070 11073-11074 1107F-11081 110B3-110B6 110B9-110BA 110C2 11100-11102 11127-1112B 1112D-11134
11173 11180-11181 111B6-111BE 111C9-111CC 111CF 1122F-11231 11234 11236-11237 1123E 112DF 112E3-112EA 11300-11301 1133B-1133C
11340 11366-11374 11438-1143F 11442-11444 11446 1145E 114B3-114B8 114BA 114BF-114C0 114C2-114C3 115B2-115B5 115BC-115BD
115BF-115C0 115DC-115DD 11633-1163A 1163D 1163F-11640 116AB 116AD 116B0-116B5 116B7 1171D-1171F 11722-11725 11727-1172B
1182F-11837 11839-1183A 1193B-1193C 1193E 11943 119D4-119DB 119E0 11A01-11A0A 11A33-11A38 11A3B-11A3E 11A47 11A51-11A56
11A59-11A5B 11A8A-11A96 11A98-11A99 11C30-11C3D 11C3F 11C92-11CA7 11CAA-11CB0 11CB2-11CB3 11CB5-11CB6 11D31-11D45 11D47
11D90-11D91 11D95 11D97 11EF3-11EF4 13430-13438 16AF0-16AF4 16B30-16B36 16F4F 16F8F-16F92 16FE4 1BC9D-1BC9E 1BCA0-1CF46
1D167-1D169 1D173-1D182 1D185-1D18B 1D1AA-1D1AD 1D242-1D244 1DA00-1DA36 1DA3B-1DA6C 1DA75 1DA84 1DA9B-1DAAF 1E000-1E02A
1E130-1E136 1E2AE 1E2EC-1E2EF 1E8D0-1E8D6 1E944-1E94A E0000-E0FFF
]]

--- East Asian width W or F, also where nothing is assigned yet between such.
local WIDE = [[
1100-115F 231A-231B 2329-232A 23E9-23EC 23F0 23F3 25FD-25FE 2614-2615 2648-2653 267F 2693 26A1 26AA-26AB 26BD-26BE 26C4-26C5
26CE 26D4 26EA 26F2-26F3 26F5 26FA 26FD 2705 270A-270B 2728 274C 274E 2753-2755 2757 2795-2797 27B0 27BF 2B1B-2B1C 2B50 2B55
2E80-3029 302E-303E 3041-3096 309B-3247 3250-4DBF 4E00-A4C6 A960-A97C AC00-D7A3 F900-FAD9 FE10-FE19 FE30-FE6B FF01-FF60
FFE0-FFE6 16FE0-16FE3 16FF0-1B2FB 1F004 1F0CF 1F18E 1F191-1F19A 1F200-1F320 1F32D-1F335 1F337-1F37C 1F37E-1F393 1F3A0-1F3CA
1F3CF-1F3D3 1F3E0-1F3F0 1F3F4 1F3F8-1F43E 1F440 1F442-1F4FC 1F4FF-1F53D 1F54B-1F54E 1F550-1F567 1F57A 1F595-1F596 1F5A4
1F5FB-1F64F 1F680-1F6C5 1F6CC 1F6D0-1F6D2 1F6D5-1F6DF 1F6EB-1F6EC 1F6F4-1F6FC 1F7E0-1F7F0 1F90C-1F93A 1F93C-1F945 1F947-1F9FF
1FA70-1FAFF 20000-3FFFD
]]

--- Two flat lists: first and last code points.
local function ranges(text)
  local first, last = {}, {}
  for from, to in text:gmatch "(%x+)%-?(%x*)" do
    first[#first + 1] = tonumber(from, 16)
    last[#last + 1] = to == "" and first[#first] or tonumber(to, 16)
  end
  return { first = first, last = last }
end

local function within(list, point)
  local first, lo, hi = list.first, 1, #list.first
  while lo <= hi do
    local mid = (lo + hi) // 2
    if point < first[mid] then hi = mid - 1 elseif point > list.last[mid] then lo = mid + 1 else return true end
  end
  return false
end

local zero, wide -- made on first use: plain ASCII never asks

local function point_width(point)
  if point < 0x20 or (point >= 0x7F and point < 0xA0) then return 0 end
  if point < 0x300 then return 1 end
  if not zero then zero, wide = ranges(ZERO), ranges(WIDE) end
  if within(zero, point) then return 0 end
  return within(wide, point) and 2 or 1
end

local function is_control(point) return point < 0x20 or (point >= 0x7F and point < 0xA0) end

--- May it be an emoji? Wider than Extended_Pictographic, without effect: only code points beside a joiner are asked about.
local function is_picture(point)
  if point >= 0x1F1E6 and point <= 0x1F1FF then return false end -- letters of flags
  return point >= 0x1F000 and point <= 0x1FAFF or point >= 0x2190 and point <= 0x2BFF and point ~= 0x25CC
    or point == 0xA9 or point == 0xAE
    or point == 0x203C or point == 0x2049 or point == 0x2122 or point == 0x2139 or point == 0x3030 or point == 0x303D
    or point == 0x3297 or point == 0x3299
end

local JOINER, EMOJI_STYLE = 0x200D, 0xFE0F

local function is_tone(point) return point >= 0x1F3FB and point <= 0x1F3FF end
local function is_regional(point) return point >= 0x1F1E6 and point <= 0x1F1FF end
local function is_leading_jamo(point) return point >= 0x1100 and point <= 0x115F or point >= 0xA960 and point <= 0xA97C end
local function is_syllable(point) return point >= 0xAC00 and point <= 0xD7A3 end

--- The code point at a byte, and the byte behind it; a byte that is no UTF-8 counts as one character.
local function point_at(text, at)
  if text:byte(at) < 0x80 then return text:byte(at), at + 1 end
  if not utf8.len(text, at, at) then return nil, at + 1 end
  return utf8.codepoint(text, at), utf8.offset(text, 2, at)
end

--- Does `point` go with the cluster whose first code point is `base` and whose last one is `last`?
local function joins(base, last, point, count)
  if point_width(point) == 0 then return not is_control(point) end
  if last == JOINER then return is_picture(base) and is_picture(point) end
  if is_tone(point) then return is_picture(base) end
  if is_regional(point) then return is_regional(base) and count == 1 end
  return is_leading_jamo(last) and is_syllable(point)
end

local function is_keycap(base) return base >= 0x30 and base <= 0x39 or base == 0x23 or base == 0x2A end

--- The cluster at a byte.
---@param text string
---@param at integer
---@return integer after first byte behind it
---@return integer width columns
function M.at(text, at)
  local base, after = point_at(text, at)
  if not base then return after, 1 end
  local width = point_width(base)
  local next_byte = text:byte(after)
  if not next_byte or next_byte < 0x80 or is_control(base) then return after, width end
  local last, count = base, 1
  while after <= #text do
    local point, behind = point_at(text, after)
    if not point or not joins(base, last, point, count) then break end
    if point == EMOJI_STYLE and (is_picture(base) or is_keycap(base)) or is_regional(point) or is_tone(point) then width = 2 end
    last, count, after = point, count + 1, behind
  end
  return after, width
end

--- Columns that the code points of a cluster take one by one, on a terminal that knows no clusters.
---@param cluster string
---@return integer
function M.apart(cluster)
  local columns, at = 0, 1
  while at <= #cluster do
    local point
    point, at = point_at(cluster, at)
    columns = columns + (point and point_width(point) or 1)
  end
  return columns
end

--- The clusters of a text, one by one.
---@param text string
---@return fun(): string|nil, integer|nil next cluster, columns
function M.each(text)
  local at = 1
  return function()
    if at > #text then return nil end
    local from = at
    local after, width = M.at(text, from)
    at = after
    return text:sub(from, after - 1), width
  end
end

--- Columns of a text.
---@param text string without style escapes
---@return integer
function M.width(text)
  if not text:find "[^ -~]" then return #text end
  local columns, at = 0, 1
  while at <= #text do
    local stop = text:match("^[ -~]+()[ -~]", at) -- the last one may have a mark
    if stop then
      columns, at = columns + stop - at, stop
    else
      local width
      at, width = M.at(text, at)
      columns = columns + width
    end
  end
  return columns
end

return M
